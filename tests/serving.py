"""Apps of tests on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server


class QuietRequestHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log(self, type: str, message: str, *args: object) -> None:
        pass


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve the app on a free port; gives its base URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Network:
    """The partner simulator on a real socket."""

    url: str

    def behave(self, mode: str, **more: Any) -> None:
        """Set its response mode."""
        response = requests.post(f"{self.url}/behaviour", json={"mode": mode, **more}, timeout=10)
        assert response.ok, response.text

    def received(self) -> list[dict[str, Any]]:
        """The requests that it received, oldest first."""
        received: list[dict[str, Any]] = requests.get(f"{self.url}/received.json", timeout=10).json()[
            "received"
        ]
        return received
