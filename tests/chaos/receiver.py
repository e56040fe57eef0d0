"""A partner in its own process that records every request before it responds.

``python receiver.py FILE``: appends a line ``id sha256`` to FILE for each complete request.
Its first line of output is its port.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socketserver
import sys
import time

RESPONSE_SECONDS_MAX = 0.01
"""Responses take up to this long, so that a kill interrupts some POSTs."""


class Handler(socketserver.StreamRequestHandler):
    """Responds as the network does, over persistent connections."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while self.rfile.readline():
                self._respond(self._headers())
        except (ConnectionError, ValueError):
            pass  # the delivery worker was killed

    def _headers(self) -> dict[bytes, bytes]:
        headers = {}
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _respond(self, headers: dict[bytes, bytes]) -> None:
        length = int(headers[b"content-length"])
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        digest = hashlib.sha256(body).hexdigest().encode()
        os.write(self.server.record, headers[b"idempotency-key"] + b" " + digest + b"\n")  # type: ignore[attr-defined]
        time.sleep(random.random() * RESPONSE_SECONDS_MAX)
        object_id = json.loads(body)["poConfirmation"]["objectId"]
        response = json.dumps(
            {
                "response_code": 0,
                "response_message": "Success",
                "payload": {
                    "b2bIds": {},
                    "resp": {"reqMsgId": "R1", "result": "SUCCESS"},
                    "poConfirmation": {"objectId": object_id},
                    "additionalInfos": [],
                },
            }
        ).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(response)}\r\n\r\n"
        self.wfile.write(head.encode() + response)


class Server(socketserver.ThreadingTCPServer):
    """One thread per connection; ``record`` is the file descriptor of the record."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
    record: int


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    server.record = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
