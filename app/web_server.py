"""The web server: waitress in several processes that share one listening socket.

Waitress reads a whole request before a thread handles it, so slow clients hold a socket and no thread.
"""

from __future__ import annotations

import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from app.config import Settings
from app.network.paths import is_api_path
from app.network.reader import dumps
from app.network.replies import build_reply
from app.network.vocabulary import ErrorCode, Kind

log = logging.getLogger(__name__)

REQUEST_BYTES_MAX = 8 * 1024 * 1024
"""Larger requests get 413 as soon as their headers say so, unless `PO_MAX_BODY_BYTES` is larger.

Forms and the API have their own limits."""
SENTENCES = {
    413: "The file or form is too large. Go back and send a smaller one.",
    500: "The server had an error. Go back and try again.",
}
UNREADABLE = "The server cannot read this request. Go back and try again."
REQUEST_SECONDS = 60.0
"""How long a client may take to send one request, however steadily it sends."""
IDLE_SECONDS = 60
GRACE_SECONDS = 10.0
"""How long requests in flight may take after SIGTERM."""
HEALTH_PATH = "/healthz"
CONNECTIONS = 2000
"""Open connections per process."""


class PortInUse(Exception):
    """The address cannot be listened on; the text says why."""


class _ErrorTask(ErrorTask):
    """The response to a request that is not valid HTTP or too large, in the contract's shape for the API.

    The app does not see such a request, so there is no page with the reader's menu.
    """

    def execute(self) -> None:
        error = self.request.error
        if is_api_path(str(getattr(self.request, "path", ""))):
            code = ErrorCode.TOO_LARGE if error.code == 413 else ErrorCode.UNREADABLE
            body = dumps(build_reply(Kind.REQ_SEND, None, req_msg_id="", code=code, detail=error.reason))
            content_type = "application/json"
        else:
            body = f"{SENTENCES.get(error.code, UNREADABLE)}\n".encode()
            content_type = "text/plain; charset=utf-8"
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", content_type))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    """A connection that records when its current request began."""

    error_task_class = _ErrorTask
    request_began_at = 0.0

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.request_began_at = time.time()
        return bool(super().received(data))


class _Server(TcpWSGIServer):
    channel_class = _Channel

    def add_task(self, task: HTTPChannel) -> None:
        """Queue a request. A health check goes first: a busy server must not look like a dead one."""
        # A request that waitress could not parse has no path.
        is_health_check = getattr(task.requests[0], "path", "") == HEALTH_PATH
        super().add_task(task)
        if is_health_check:
            dispatcher = self.task_dispatcher
            with dispatcher.lock:
                if task in dispatcher.queue:
                    dispatcher.queue.remove(task)
                    dispatcher.queue.appendleft(task)

    def maintenance(self, now: float) -> None:
        """Close idle connections, and those that take too long to send a request."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.request is not None and channel.request_began_at < now - REQUEST_SECONDS:
                channel.will_close = True


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the address. It does not share its port. Errors: PortInUse."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise PortInUse(f"Cannot listen on {host}: {error.strerror or error}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise PortInUse(f"Cannot listen on {host} port {port}: {error.strerror}") from error
    listener.listen(1024)
    listener.set_inheritable(True)
    return listener


def run(app: Callable[..., Any], settings: Settings, listener: socket.socket) -> None:
    """Serve on the socket until SIGTERM, then finish the requests in flight."""
    server = _Server(
        app,
        _sock=listener,
        bind_socket=False,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        sockets=[listener],
        threads=settings.web_threads,
        ident=None,
        backlog=1024,
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_SECONDS,
        cleanup_interval=5,
        asyncore_use_poll=True,
        # Waitress refuses a body of this size too.
        max_request_body_size=max(REQUEST_BYTES_MAX, settings.max_body_bytes + 1),
        # ProxyFix reads these headers if proxies are configured; otherwise clients may not set them.
        clear_untrusted_proxy_headers=not settings.trusted_proxies,
    )
    stopping = _stop_flag(server)
    while not stopping():
        server.asyncore.loop(timeout=1, use_poll=True, map=server._map, count=1)
    server.accepting = False
    deadline = time.monotonic() + GRACE_SECONDS
    while _is_busy(server) and time.monotonic() < deadline:
        server.asyncore.loop(timeout=0.1, use_poll=True, map=server._map, count=1)
    server.task_dispatcher.shutdown()


def serve_app(app: Flask, settings: Settings, listener: socket.socket) -> None:
    """Serve the app in this process, which was forked for it."""
    # Connections must not be shared between processes.
    app.extensions["database"].engine.dispose(close=False)
    # Loaded modules are never freed: collecting them each time costs an eighth of a page's time.
    gc.freeze()
    run(app, settings, listener)


def _is_busy(server: _Server) -> bool:
    return any(channel.requests or channel.total_outbufs_len for channel in server.active_channels.values())


def _stop_flag(server: _Server) -> Callable[[], bool]:
    stopped = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        server.pull_trigger()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return lambda: stopped
