"""Labels of exports and of the evidence pack."""

from __future__ import annotations

from app.exports import formats, sources
from app.network.text import pluralize
from app.orders.models import Decision, PurchaseOrder
from app.tasks.models import Job


def export_title(source_name: str, form: str) -> str:
    """What an export is called: ``Orders as CSV``."""
    return f"{sources.SOURCES[source_name].title} as {formats.NAMES[form]}"


def export_job_title(job: Job) -> str:
    """The title of a job that writes a file."""
    return export_title(job.parameters["what"], job.parameters["form"])


def kept_for(hours: float) -> str:
    """How long a file is kept: in whole days if that is at least two, otherwise in hours."""
    return pluralize(int(hours // 24), "day") if hours >= 48 else pluralize(int(hours), "hour")


def response_note(decision: Decision, order: PurchaseOrder) -> str:
    """What happened to a response afterwards, in parentheses; empty if it is still valid."""
    if decision.undone:
        return " (undone before sending)"
    if decision.version < order.version:
        return " (order changed since)"
    return ""
