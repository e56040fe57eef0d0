"""``flask serve``: gunicorn, with a deliverer and a worker."""

from __future__ import annotations

import os
import sys
from functools import partial

import click
from flask.cli import with_appcontext

from app.cli import context
from app.config import Settings
from app.supervisor import Child, Forked, flask_command, run_together


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@with_appcontext
def serve(host: str, port: int) -> None:
    """Serve the web pages, and run a deliverer and a worker unless the settings turn them off."""
    settings = context.settings()
    children: list[Child] = [Forked("web", partial(_run_gunicorn, settings, host, port), restart=False)]
    if settings.serve_delivers:
        children.append(Child("deliverer", flask_command("deliver"), os.environ, restart=True))
    if settings.serve_works:
        children.append(Child("worker", flask_command("work"), os.environ, restart=True))
    sys.exit(run_together(children))


def web_command(settings: Settings, host: str, port: int) -> list[str]:
    """The command line of the web server."""
    return [sys.executable, "-m", "gunicorn", *_gunicorn_arguments(settings, host, port)]


def _run_gunicorn(settings: Settings, host: str, port: int) -> None:
    """Become gunicorn in a process that has loaded the app already, which saves a second."""
    from gunicorn.app import wsgiapp  # noqa: PLC0415 - no other command needs it

    sys.argv = ["gunicorn", *_gunicorn_arguments(settings, host, port)]
    wsgiapp.run(prog="gunicorn")


def _gunicorn_arguments(settings: Settings, host: str, port: int) -> list[str]:
    """Threads per process; with ``--reuse-port`` the kernel spreads connections over the processes."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [
        "app:served()",
        *("--bind", address),
        *("--workers", str(settings.web_processes)),
        *("--worker-class", "gthread"),
        *("--threads", str(settings.web_threads)),
        "--preload",
        "--reuse-port",
        *("--limit-request-line", "8190"),
        *("--graceful-timeout", "10"),
        *("--log-level", "warning"),
    ]
