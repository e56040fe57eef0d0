"""A partner in a process of its own that writes down every request before it answers.

``python receiver.py FILE``: a line ``id sha256`` for each request that came whole, appended to FILE at once.
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

SLOWEST_ANSWER_SECONDS = 0.01
"""Answers take up to this long, so that a kill finds some POSTs under way."""


class Handler(socketserver.StreamRequestHandler):
    """Answers as the network would, over kept connections."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while self.rfile.readline():
                self._answer(self._headers())
        except (ConnectionError, ValueError):
            pass  # the deliverer was killed

    def _headers(self) -> dict[bytes, bytes]:
        headers = {}
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _answer(self, headers: dict[bytes, bytes]) -> None:
        length = int(headers[b"content-length"])
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError
        digest = hashlib.sha256(body).hexdigest().encode()
        os.write(self.server.record, headers[b"idempotency-key"] + b" " + digest + b"\n")  # type: ignore[attr-defined]
        time.sleep(random.random() * SLOWEST_ANSWER_SECONDS)
        object_id = json.loads(body)["poConfirmation"]["objectId"]
        answer = json.dumps(
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
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        self.wfile.write(head.encode() + answer)


class Server(socketserver.ThreadingTCPServer):
    """One thread a connection; ``record`` is the descriptor that is written to."""

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
