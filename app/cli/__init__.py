"""The ``flask`` commands, one module per group. A command parses, calls a service, commits and prints."""

from __future__ import annotations

from flask import Flask

from app.cli import audit, background, database, delivery, demo, orders, partners, secrets, server, users


def init_app(app: Flask) -> None:
    """Register all commands."""
    commands = (
        database.init,
        database.prune,
        users.users,
        partners.partners,
        orders.orders,
        secrets.secrets,
        audit.audit,
        delivery.deliver,
        delivery.resend,
        delivery.rollup,
        background.work,
        background.alerts,
        server.serve,
        demo.demo,
        demo.seed,
    )
    for command in commands:
        app.cli.add_command(command)
