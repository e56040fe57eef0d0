"""``flask deliver``, ``flask resend`` and ``flask rollup``."""

from __future__ import annotations

from datetime import datetime

import click
from flask.cli import with_appcontext

from app.audit.trail import COMMAND_LINE
from app.cli import context
from app.delivery.models import MessageState
from app.delivery.service import REASON_MAX
from app.delivery.statistics import fold
from app.delivery.worker import DeliveryWorker
from app.ui import web
from app.webhooks import resend_job
from app.webhooks.presenters import blocker_text
from app.webhooks.queries import MessageFilter
from app.webhooks.resend_plan import Selection, plan


@click.command()
@click.option("--once", is_flag=True, help="Deliver what is due, then exit.")
@click.option(
    "--workers",
    type=click.IntRange(1, 128),
    help="Maximum number of webhooks in flight. Default: PO_SENDERS.",
)
@with_appcontext
def deliver(once: bool, workers: int | None) -> None:
    """Deliver webhooks. On SIGTERM, finish those in flight and exit."""
    context.check_encryption_keys()
    worker = DeliveryWorker(web.database(), senders=workers or web.settings().senders)
    if not once:
        worker.run(context.stop_event())
        return
    with context.database_errors():
        counts = worker.drain()
    click.echo(
        context.counts_line({name: counts[name] for name in ("delivered", "retried", "refused", "failed")})
    )


@click.command()
@click.option("--since", required=True, metavar="TIME", help="ISO 8601. Without a zone: PO_TIME_ZONE.")
@click.option("--partner", "partner_name", metavar="NAME", help="Default: all partners.")
@click.option(
    "--state", type=click.Choice(["failed", "refused", "pending"]), default="failed", show_default=True
)
@click.option("--reason", default="Resent from the command line", help="Recorded with each attempt.")
@click.option("--dry-run", is_flag=True, help="Print the counts without resending.")
@with_appcontext
def resend(since: str, partner_name: str | None, state: str, reason: str, dry_run: bool) -> None:
    """Resend all webhooks in a state that were last attempted after a time. Bodies and IDs stay the same."""
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year < 9999:  # a change of zone would overflow
        context.fail(f"{since!r} is not a time such as 2026-11-23T10:00.")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=web.settings().time_zone)
    selection = Selection(
        filter=MessageFilter(partner=partner_name or ""), tried_since=moment, states=(MessageState(state),)
    )
    with context.writing() as session:
        if partner_name:
            context.find_partner(session, partner_name)
        planned = plan(session, None, selection)
        if planned.count and not dry_run:
            job = resend_job.create_job(
                session, None, selection, by=COMMAND_LINE.name, person_id=None, reason=reason[:REASON_MAX]
            )
            resend_job.run_now(session, job)
            session.commit()
    for blocker, count in planned.skipped.items():
        click.echo(f"skipped {count}: {blocker_text(blocker)}", err=True)
    label = "would resend" if dry_run else "resent"
    click.echo(f"{label}={planned.count} skipped={planned.skipped_count}")


@click.command()
@with_appcontext
def rollup() -> None:
    """Merge old rows of the delivery statistics now. The background worker does this regularly."""
    with context.database_errors():
        rows = fold(web.database())
    click.echo(f"rows={rows}")
