"""Labels and sentences of the partners' pages: status, settings and credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

from app.audit.models import AuditAction
from app.delivery.models import PAUSED
from app.delivery.statistics import Totals
from app.network.text import pluralize
from app.network.vocabulary import LINE_PREFIX
from app.partners.certificates import Certificate
from app.partners.durations import wait_text, waits_text
from app.partners.forms import HEADER, PartnerForm
from app.partners.masking import secret_hint
from app.partners.models import InboundKey, InboundSecret, Partner, PauseCode
from app.partners.service import HEADERS_MAX
from app.partners.texts import PAUSE_SENTENCES
from app.ui.numbers import number, percent
from app.ui.times import clock_time
from app.webhooks.partner_status import PartnerStatus


@dataclass(frozen=True, slots=True)
class Notice:
    """A confirmation: its tone and its text."""

    tone: str
    text: str


CONFIRMATIONS = {
    "saved": Notice("ok", "Saved. The test succeeded."),
    "kept": Notice("ok", "Saved. Neither the URL nor the credentials changed, so nothing was tested."),
    "untested": Notice("warn", "Saved without testing. Run a test before you rely on it."),
    "paused": Notice("ok", "Paused. Nothing is sent until you resume."),
    "resumed": Notice("ok", "Resumed. Queued webhooks are being sent. Retries follow their schedule."),
    "announced": Notice("ok", "Announcement published."),
    "announcement_removed": Notice("ok", "Announcement removed."),
}
LINE_RESPONSE_NAMES = {
    f"{LINE_PREFIX}REF/response": "CHANGED or REJECTED",
    f"{LINE_PREFIX}REF/quantity": "the quantity that the supplier will deliver",
    f"{LINE_PREFIX}REF/deliveryDate": "the delivery date",
    f"{LINE_PREFIX}REF/unitPrice": "the unit price",
    f"{LINE_PREFIX}REF/remarks": "the reason",
    f"{LINE_PREFIX}REF/split/1/quantity": "the quantity of the first delivery of a split line",
    f"{LINE_PREFIX}REF/split/1/deliveryDate": "the date of the first delivery of a split line",
}
"""The names of responses to single lines for the integration guide; ``orders.line_responses`` writes them."""


def pause_sentence(partner: Partner) -> str:
    """Why a partner is paused: the reason of the app, or of the person who paused it."""
    if partner.pause_code is PauseCode.NONE:
        reason = partner.paused_reason
        return f"{reason}." if reason and not reason.endswith((".", "!", "?")) else reason
    return PAUSE_SENTENCES[partner.pause_code].format_map(partner.pause_params)


@dataclass(frozen=True, slots=True)
class Note:
    """Why a partner is in its state, and since when, for the list of partners."""

    text: str
    since: datetime | None = None


def partner_note(status: PartnerStatus) -> Note:
    """Why a partner is in its state; its announcement if nothing is wrong."""
    if status.partner.paused:
        return Note(pause_sentence(status.partner), status.partner.paused_at)
    if status.outage:
        return Note("", status.outage.since)
    return Note(status.partner.announcement)


PAUSE_EVENTS = {
    AuditAction.PAUSED: "Paused",
    AuditAction.RESUMED: "Resumed",
    AuditAction.BREAKER_OPENED: "Stopped responding",
    AuditAction.BREAKER_CLOSED: "Responding again",
}
"""The audit actions that the history of a partner shows."""


def pause_event_label(entry: Any) -> str:
    """What happened to the partner, and who or what paused or resumed it."""
    label = PAUSE_EVENTS[entry.action]
    if entry.action in (AuditAction.BREAKER_OPENED, AuditAction.BREAKER_CLOSED):
        return label
    return f"{label} by {entry.actor}" if entry.actor else f"{label} automatically"


def secret_help(entered: str | None, saved: str | None) -> str:
    """The help below a secret's field: whether there is one and how to keep it."""
    hint = secret_placeholder(entered, saved)
    return f"{hint[:1].upper()}{hint[1:]}. Leave blank to keep it." if entered or saved else "Not set."


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """A custom header in the form of a partner: its place, its name, the hint of its value, and errors."""

    number: int
    name: str = ""
    hint: str = "Value"
    name_errors: Sequence[str] = ()
    value_errors: Sequence[str] = ()

    @property
    def errors(self) -> str:
        """All errors as one text; empty if there is none."""
        return " ".join([*self.name_errors, *self.value_errors])


def header_rows(form: PartnerForm, partner: Partner | None, secrets: Mapping[str, str]) -> list[HeaderRow]:
    """The headers with a name, and an empty row unless there are as many as allowed."""
    saved = dict(partner.headers) if partner else {}
    rows: list[HeaderRow] = []
    for row in form.headers:
        if name := row.data["name"]:
            hint = secret_placeholder(secrets.get(HEADER + name.lower()), saved.get(name))
            rows.append(HeaderRow(len(rows), name, hint, row["name"].errors, row["value"].errors))
    return rows if len(rows) >= HEADERS_MAX else [*rows, HeaderRow(len(rows))]


def secret_placeholder(entered: str | None, saved: str | None) -> str:
    """The placeholder of a secret's field."""
    return "just entered" if entered else secret_hint(saved or "")


# --- The partner's page


@dataclass(frozen=True, slots=True)
class StatusCard:
    """The state of a partner in words: what, since when, why, and what to do next."""

    title: str
    text: str
    queue: str
    queue_state: str
    next_step: str
    since: datetime | None = None
    by: str = ""
    probe_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and its value."""

    label: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """A credential as the page shows it: never the secret, only a hint. ``label`` may be a header name."""

    label: str
    text: str
    note: str = ""
    is_header: bool = False
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart: the attempts of half an hour, in units of the chart."""

    x: int
    delivered: int
    failed: int
    label: str


@dataclass(frozen=True, slots=True)
class Day:
    """The attempts of the last 24 hours. ``times`` are the labels of the axis."""

    attempts: int
    rate: str
    summary: str
    bars: list[Bar]
    times: list[datetime]


_STEPS_BEFORE_RESUMING = {
    PauseCode.NONE: "Resume when the partner is ready. Queued webhooks are then sent.",
    PauseCode.CREDENTIALS: "Correct the key or the URL, send a test, then resume.",
    PauseCode.GONE: "Ask the partner for its new URL, send a test, then resume.",
}


def status_card(status: PartnerStatus) -> StatusCard:
    """The state of a partner and the next step."""
    partner, backlog = status.partner, status.waiting
    queue = f"{pluralize(backlog.count, 'webhook')} in the queue." if backlog.count else "The queue is empty."
    if partner.paused:
        return StatusCard(
            title="Paused since",
            since=partner.paused_at,
            by=f"by {partner.paused_by}" if partner.paused_by else "automatically",
            text=pause_sentence(partner),
            queue=queue,
            queue_state=PAUSED,
            next_step=_STEPS_BEFORE_RESUMING[partner.pause_code],
        )
    if status.outage:
        return StatusCard(
            title="Failing since",
            since=status.outage.since,
            text="Several attempts in a row failed. Webhooks are sent when the partner recovers.",
            queue=queue,
            queue_state="pending",
            next_step="Run diagnostics, then contact the partner.",
            probe_at=status.outage.next_check_at,
        )
    delivered = status.last_delivery_at is not None
    next_step = "None. If you change the connection, send a test." if delivered else "Send a test."
    return StatusCard(
        title="Last delivery" if delivered else "No deliveries yet",
        since=status.last_delivery_at,
        text=f"{pluralize(backlog.retrying, 'webhook')} retrying after a failed attempt."
        if backlog.retrying
        else "Webhooks are sent as they are created.",
        queue=queue,
        queue_state="pending",
        next_step="Wait for the next attempts, or run diagnostics." if backlog.retrying else next_step,
    )


BAR_STEP, BAR_HEIGHT = 10, 64
"""The width of half an hour and the height of the chart, in its units."""


def last_day(steps: Sequence[tuple[datetime, Totals]], zone: ZoneInfo) -> Day:
    """The attempts in the half hours of a day."""
    attempts = sum(totals.attempts for _, totals in steps)
    delivered = sum(totals.delivered for _, totals in steps)
    most = max(totals.attempts for _, totals in steps) or 1

    def height(count: int) -> int:
        return ceil(count * BAR_HEIGHT / most)

    return Day(
        attempts,
        percent(delivered, attempts),
        _counts(delivered, attempts - delivered),
        [
            Bar(
                place * BAR_STEP,
                height(totals.attempts) - height(totals.failed),
                height(totals.failed),
                f"{clock_time(start, zone)}: {_counts(totals.delivered, totals.failed)}",
            )
            for place, (start, totals) in enumerate(steps)
            if totals.attempts
        ],
        [steps[0][0], steps[len(steps) // 2][0]],
    )


def _counts(delivered: int, failed: int) -> str:
    return f"{number(delivered)} delivered, {number(failed)} failed"


def connection_settings(partner: Partner, default_schedule: Sequence[float]) -> list[Setting]:
    """The settings for sending webhooks."""
    rate = f", {number(partner.rate_per_minute)} per minute" if partner.rate_per_minute else ""
    responses = "Confirm, reject, return for changes" if partner.accepts_return else "Confirm, reject"
    if partner.accepts_line_responses:
        responses += "; single lines"
    return [
        Setting("Base URL", partner.base_url),
        Setting("Allowed private addresses", ", ".join(partner.allow_addresses) or "None"),
        Setting("Timeout", wait_text(partner.deadline_seconds)),
        Setting("Concurrency", pluralize(partner.concurrency, "webhook") + rate),
        Setting(
            "Retry schedule",
            waits_text(partner.retry_schedule or default_schedule),
            "" if partner.retry_schedule else "default",
        ),
        Setting("Success codes", ", ".join(str(code) for code in partner.success_codes)),
        Setting("Responses", responses),
    ]


def outbound_credentials(
    partner: Partner,
    signing_secrets: Sequence[dict[str, Any]],
    certificate: Certificate | None,
    authorities: Sequence[Certificate],
) -> list[CredentialRow]:
    """The credentials that we send. ``certificate`` is None if it is missing or unreadable."""
    rows = [CredentialRow(name, secret_hint(value), is_header=True) for name, value in partner.headers]
    if partner.bearer_token:
        rows.append(CredentialRow("Bearer token", secret_hint(partner.bearer_token)))
    if oauth := partner.oauth:
        scope = f", scope {oauth['scope']}" if oauth["scope"] else ""
        note = f"client {oauth['client_id']}, secret {secret_hint(oauth['client_secret'])}{scope}"
        rows.append(CredentialRow("OAuth", oauth["token_url"], note))
    rows += [
        CredentialRow(
            "Signature", f"secret {secret_hint(saved['secret'])}", until=time_of(saved["valid_until"])
        )
        for saved in signing_secrets
    ]
    if certificate:
        rows.append(
            CredentialRow("Client certificate", certificate.subject, until=certificate.expires_at),
        )
    elif partner.client_certificate:
        rows.append(CredentialRow("Client certificate", "Set, but unreadable"))
    if not rows:
        rows.append(CredentialRow("None", "Webhooks are sent without credentials."))
    rows += [
        CredentialRow(
            "Trusted CA", authority.subject, "public CAs are not trusted", until=authority.expires_at
        )
        for authority in authorities
    ]
    return rows


def inbound_credentials(
    partner: Partner, inbound_keys: Sequence[InboundKey], inbound_secrets: Sequence[InboundSecret]
) -> list[CredentialRow]:
    """The credentials that the partner sends."""
    rows = [
        CredentialRow(
            "API key",
            f"ends in …{key.ends_in}" if key.ends_in else "set",
            since=key.created_at,
            until=key.valid_until,
        )
        for key in inbound_keys
    ]
    rows += [
        CredentialRow(
            "Signature",
            f"secret {secret_hint(saved.secret)}",
            since=saved.created_at,
            until=saved.valid_until,
        )
        for saved in inbound_secrets
    ]
    if partner.signature_required:
        note = "" if inbound_secrets else "There is no signing secret, so all requests are rejected."
        rows.append(CredentialRow("Signature required", "Requests with only a key are rejected.", note))
    return rows or [CredentialRow("None", "Requests will be rejected. Add a key.")]


def time_of(text: str | None) -> datetime | None:
    """The time in an ISO 8601 text; None if there is no text."""
    return datetime.fromisoformat(text) if text else None
