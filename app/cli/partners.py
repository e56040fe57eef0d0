"""``flask partners``."""

from __future__ import annotations

import sys
from typing import Any

import click
from flask.cli import AppGroup

from app.audit.trail import COMMAND_LINE
from app.cli import context
from app.network.text import one_line
from app.partners import service
from app.partners.keys import BadPartner

partners = AppGroup("partners", help="Manage partners: the systems that send orders and receive responses.")


@partners.command()
@click.argument("name")
@click.option("--base-url", required=True, metavar="URL")
@click.option(
    "--allow-address", "allowed", multiple=True, metavar="CIDR", help="Private range to allow. Repeatable."
)
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with every webhook.")
@click.option("--header-stdin", is_flag=True, help="Read headers from standard input, one per line.")
@click.option("--inbound-key", metavar="KEY", help="API key for incoming messages. Default: generated.")
@click.option("--inbound-key-stdin", is_flag=True, help="Read the key from the first line of standard input.")
@click.option("--allow-plain-http", is_flag=True, help="Send secrets over unencrypted HTTP.")
@click.option("--signature-required", is_flag=True, help="Reject requests that have only an API key.")
@click.option("--deadline", type=float, default=15.0, metavar="SECONDS", help="Timeout for the whole call.")
@click.option("--retry-schedule", metavar="5,300,…", help="Seconds to wait after each failed attempt.")
@click.option("--concurrency", type=int, default=4, show_default=True, help="Maximum webhooks in flight.")
@click.option("--rate-per-minute", type=int, help="Maximum number of webhooks per minute.")
@click.option(
    "--success-code",
    "success_codes",
    type=int,
    multiple=True,
    help="A response_code that means success, besides 0. Repeatable.",
)
@click.option(
    "--line-responses/--no-line-responses",
    "accepts_line_responses",
    default=True,
    show_default=True,
    help="Suppliers may respond to single lines.",
)
@click.option("--accepts-return", is_flag=True, help="Suppliers may return an order for changes.")
@click.option("--contact", default="", help="Technical contact.")
def add(
    name: str,
    base_url: str,
    allowed: tuple[str, ...],
    headers: tuple[str, ...],
    header_stdin: bool,
    inbound_key: str | None,
    inbound_key_stdin: bool,
    deadline: float,
    retry_schedule: str | None,
    **options: Any,
) -> None:
    """Add a partner and print the API key for its incoming messages. The key is shown once.

    Arguments are visible in the process list, so prefer the -stdin options for secrets.
    """
    if inbound_key_stdin:
        inbound_key = sys.stdin.readline().strip()
    if header_stdin:
        headers += tuple(line.strip() for line in sys.stdin if line.strip())
    with context.writing() as session:
        try:
            partner, key = service.add(
                session,
                name,
                base_url=base_url,
                headers=[_split_header(header) for header in headers],
                allow_addresses=allowed,
                inbound_key=inbound_key,
                deadline_seconds=deadline,
                retry_schedule=_seconds(retry_schedule),
                **options,
            )
        except BadPartner as error:
            hint = ". Pass --allow-plain-http to allow it." if error.field == "allow_plain_http" else ""
            context.fail(f"{error}{hint}")
        session.commit()
    click.echo(f"added {partner.name} at {partner.base_url}")
    click.echo(f"inbound key: {key}")


@partners.command()
@click.argument("name")
@click.option("--reason", required=True)
def pause(name: str, reason: str) -> None:
    """Stop sending to a partner. Its webhooks stay queued."""
    reason = one_line(reason)
    if not reason:
        context.fail("Enter a reason.")
    with context.writing() as session:
        partner = context.find_partner(session, name)
        was_paused = partner.paused
        service.pause(session, partner, reason, by=COMMAND_LINE.name)
        session.commit()
    click.echo(f"{name} was already paused" if was_paused else f"{name} is paused: {reason}")


@partners.command()
@click.argument("name")
@click.option("--reason", default="", help="Recorded in the audit trail.")
def resume(name: str, reason: str) -> None:
    """Resume sending to a paused partner."""
    with context.writing() as session:
        service.resume(session, context.find_partner(session, name), reason, by=COMMAND_LINE.name)
        session.commit()
    click.echo(f"{name} is no longer paused")


def _split_header(header: str) -> tuple[str, str]:
    name, colon, value = header.partition(":")
    if not colon:
        context.fail("A header must have the form 'Name: value'.")  # its text may be a secret
    return name, value


def _seconds(schedule: str | None) -> list[float]:
    try:
        return [float(wait) for wait in schedule.split(",")] if schedule else []
    except ValueError:
        context.fail(f"{schedule!r} must be a list of seconds such as 5,300,1800.")
