"""Labels and sentences of the partners' pages: one table per enum, one function per result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import url_for

from app.delivery.outcome import Outcome
from app.delivery.presenters import detail_sentence
from app.network.vocabulary import LINE_PREFIX
from app.partners.certificates import Certificate
from app.partners.durations import wait_text, waits_text
from app.partners.masking import last_characters, secret_hint
from app.partners.models import InboundKey, InboundSecret, Partner
from app.partners.pause_presenters import pause_sentence
from app.ui.numbers import duration, number, size, things
from app.webhooks.diagnostics import Baseline, Code, Finding, Level, Report, Side, Step, clocks_agree
from app.webhooks.partner_status import PartnerStatus
from app.webhooks.presenters import attempt_sentence, http_phrase
from app.webhooks.test_send import Judgment, TestResult, Trial

__all__ = ["wait_text", "waits_text"]


@dataclass(frozen=True, slots=True)
class Notice:
    """A confirmation: its tone and its words."""

    tone: str
    words: str


CONFIRMATIONS = {
    "saved": Notice("ok", "Saved. The test succeeded."),
    "kept": Notice("ok", "Saved. Neither the URL nor the credentials changed, so nothing was tested."),
    "untried": Notice("warn", "Saved without testing. Run a test before you rely on it."),
    "paused": Notice("ok", "Paused. Nothing is sent until you resume."),
    "resumed": Notice("ok", "Resumed. Queued webhooks are being sent."),
    "noted": Notice("ok", "Announcement published."),
    "unnoted": Notice("ok", "Announcement removed."),
}
LINE_RESPONSE_NAMES = {
    f"{LINE_PREFIX}REF/response": "CHANGED or REJECTED",
    f"{LINE_PREFIX}REF/quantity": "the quantity that the supplier delivers",
    f"{LINE_PREFIX}REF/deliveryDate": "the date of delivery",
    f"{LINE_PREFIX}REF/unitPrice": "the unit price",
    f"{LINE_PREFIX}REF/remarks": "the reason",
    f"{LINE_PREFIX}REF/split/1/quantity": "the quantity of the first of several deliveries",
    f"{LINE_PREFIX}REF/split/1/deliveryDate": "the date of the first of several deliveries",
}
"""The names of responses to single lines for the integration guide; ``orders.line_responses`` writes them."""
STEPS = {
    Step.DNS: "DNS lookup",
    Step.ADDRESS: "Allowed address",
    Step.CONNECTION: "Connection",
    Step.TLS: "TLS",
    Step.CLIENT_CERTIFICATE: "Client certificate",
    Step.CLOCK: "Clock",
    Step.RESPONSE: "Response",
}
LEVELS = {
    Level.OK: ("OK", "ok"),
    Level.WARNING: ("Warning", "warn"),
    Level.FAILED: ("Failed", "bad"),
    Level.SKIPPED: ("Skipped", "quiet"),
}
SIDES = {
    Side.NONE: ("", ""),
    Side.OURS: ("our side", "The problem is on our side."),
    Side.THEIRS: ("partner's side", "The problem is on the partner's side."),
    Side.EITHER: ("our side or the partner's", "The problem may be on either side."),
    Side.NETWORK: ("network between", "The problem is in the network between us and the partner."),
}
TEST_RESULTS = {
    TestResult.ACCEPTED: ("ok", "The partner accepted the test."),
    TestResult.UNDERSTOOD: ("ok", "The partner understood the test."),
    TestResult.BUSY: ("warn", "URL and key are right, but the partner is busy."),
    TestResult.KEY_REJECTED: ("bad", "Test failed: the partner rejected the API key."),
    TestResult.NOT_ACCEPTED: ("bad", "Test failed: the partner did not accept it."),
    TestResult.NOT_DELIVERED: ("bad", "Test failed: it was not delivered."),
}


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the diagnostics as the page shows it."""

    label: str
    state: str
    tone: str
    text: str
    before: str
    side: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of diagnostics in one line."""

    tone: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Why a partner is in its state, and since when, for the list of partners."""

    text: str
    since: datetime | None = None


def partner_note(status: PartnerStatus) -> Note:
    """Return why a partner is in its state; its announcement if nothing is wrong."""
    if status.partner.paused:
        return Note(pause_sentence(status.partner), status.partner.paused_at)
    if status.outage:
        return Note("", status.outage.since)
    return Note(status.partner.incident_note)


def response_status(outcome: Outcome) -> str:
    """Return the HTTP status with its phrase, or that there was no response."""
    if outcome.status is None:
        return "No response"
    return f"{outcome.status} {http_phrase(outcome.status)}"


def response_facts(outcome: Outcome) -> str:
    """Return how long the response took, its size and the partner's address."""
    if outcome.status is None:
        return f"after {duration(outcome.duration_ms)}"
    facts = [duration(outcome.duration_ms), size(outcome.body_size), outcome.remote_address]
    return " · ".join(fact for fact in facts if fact)


def test_summary(trial: Trial) -> Summary:
    """Return the result of a test send."""
    tone, title = TEST_RESULTS[trial.judgment.result]
    return Summary(tone, title, _judgment_text(trial.judgment))


def token_text(trial: Trial) -> str:
    """Return what happened to the OAuth token; empty without OAuth."""
    if not trial.token_url:
        return ""
    if trial.token_failed:
        return f"{trial.token_url} issued no token, so nothing was sent."
    return f"A token was issued by {trial.token_url}. It is reused until it expires."


def report_summary(report: Report) -> Summary:
    """Return the result of diagnostics: the first problem, or that everything works."""
    worst = report.worst
    if worst is None:
        return Summary("ok", "Everything works.", "A webhook sent now would be delivered.")
    text = finding_text(worst)
    if worst.level is Level.WARNING:
        return Summary("warn", "It works, with a warning.", text)
    return Summary("bad", SIDES[worst.side][1], text)


def step_rows(report: Report) -> list[StepRow]:
    """Return one row per step."""
    return [_step_row(finding, report.baseline) for finding in report.findings]


def finding_text(finding: Finding) -> str:
    """Return a finding as a sentence or two."""
    return _FINDINGS[finding.code](finding.details)


def _step_row(finding: Finding, baseline: Baseline) -> StepRow:
    state, tone = LEVELS[finding.level]
    problem = finding.level in (Level.FAILED, Level.WARNING)
    return StepRow(
        label=STEPS[finding.step],
        state=state,
        tone=tone,
        text=finding_text(finding),
        before=_before(finding, baseline),
        side=SIDES[finding.side][0] if problem else "",
    )


def _before(finding: Finding, baseline: Baseline) -> str:
    """Return how a step was at the last successful delivery, where that helps."""
    if finding.level is Level.SKIPPED:
        return ""
    if finding.step in (Step.DNS, Step.CONNECTION) and finding.code is not Code.ADDRESS_LITERAL:
        shown = finding.step is Step.DNS or finding.level is Level.FAILED
        return f"Previously: {_listed(baseline.addresses)}" if baseline.addresses and shown else ""
    if finding.step is Step.TLS and baseline.certificate_expires:
        return f"Previously: valid until {baseline.certificate_expires[:10]}"
    if finding.step is Step.CLOCK and baseline.clock is not None:
        agreed = clocks_agree(baseline.clock)
        return "Previously: in sync" if agreed else f"Previously: {abs(baseline.clock):.0f} s apart"
    if finding.step is Step.RESPONSE and baseline.status:
        return f"Previously: {baseline.status}"
    return ""


def _judgment_text(judgment: Judgment) -> str:
    status = judgment.status
    if judgment.result is TestResult.KEY_REJECTED:
        return f"It returned {status}. The URL appears to be right."
    if judgment.result is TestResult.BUSY:
        return f"It returned {status} in the network's format."
    if judgment.result is TestResult.ACCEPTED:
        return f"It returned {status} in the network's format, with success."
    if judgment.result is TestResult.UNDERSTOOD:
        quote = f": “{judgment.reply_text}”" if judgment.reply_text else ""
        return (
            f"It returned {status} in the network's format{quote}. "
            "Refusing the test is correct: the order does not exist."
        )
    if judgment.reason is None:
        return detail_sentence(judgment.detail)
    return attempt_sentence(judgment.reason, detail=judgment.detail, status=status)


def _listed(values: Sequence[str], most: int = 4) -> str:
    return ", ".join(values[:most])


def _error(details: dict[str, Any]) -> str:
    return detail_sentence(details["error"])


def _lookup_failed(details: dict[str, Any]) -> str:
    if details["worked_before"]:
        return f"{_error(details)} It worked before: ask the partner and your DNS administrator."
    return f"{_error(details)} Check the URL for a typing error."


def _connected(details: dict[str, Any]) -> str:
    ms = max(1.0, details["ms"])
    return f"{details['address']} accepted the connection on port {details['port']} after {ms:.0f} ms."


def _refused(details: dict[str, Any]) -> str:
    allow_list = ", ".join(details["allow_list"]) or "is empty"
    return (
        f"{_listed(details['refused'])} is a private or reserved address that isn't allowed. "
        f"Allowed private addresses: {allow_list}."
    )


def _tls_failed(details: dict[str, Any]) -> str:
    certificate: Certificate | None = details["certificate"]
    if certificate is None:
        return _error(details)
    names = _listed(certificate.names, 3) or certificate.subject
    return (
        f"{_error(details)} The partner's certificate is for {names}, "
        f"issued by {certificate.issuer or 'an unknown issuer'}, "
        f"valid until {certificate.expires_at:%Y-%m-%d}."
    )


def _tls_established(details: dict[str, Any]) -> str:
    certificate: Certificate | None = details["certificate"]
    if certificate is None:
        return f"{details['version']}."
    names = _listed(certificate.names, 3)
    text = f"{details['version']}. The certificate is for {names} and valid for {details['days']} days."
    return text + (" It changed since the last successful check." if details["changed"] else "")


def _clocks(details: dict[str, Any]) -> str:
    seconds = details["seconds"]
    ahead = "ahead of" if seconds > 0 else "behind"
    return f"The partner's clock is {abs(seconds):.0f} s {ahead} ours."


def _test_send(details: dict[str, Any]) -> str:
    judgment: Judgment = details["judgment"]
    text = f"{TEST_RESULTS[judgment.result][1]} {_judgment_text(judgment)}"
    if judgment.result is TestResult.KEY_REJECTED:
        if details["worked_before"]:
            return f"{text} The key was accepted before: ask the partner whether it changed."
        return f"{text} Compare the key with the one the partner gave you."
    if judgment.status in (404, 405) and not judgment.works:
        return f"{text} Compare the URL with the partner's."
    return text


_FINDINGS: dict[Code, Callable[[dict[str, Any]], str]] = {
    Code.SKIPPED: lambda _: "Skipped because an earlier step failed.",
    Code.LOOKUP_FAILED: _lookup_failed,
    Code.ADDRESS_LITERAL: lambda _: "No DNS lookup needed.",
    Code.RESOLVED: lambda d: f"{d['host']} resolves to {_listed(d['addresses'])}.",
    Code.RESOLVED_ELSEWHERE: lambda d: (
        f"{d['host']} resolves to {_listed(d['addresses'])}, a different address than before."
    ),
    Code.ADDRESSES_REFUSED: _refused,
    Code.SOME_ADDRESSES_REFUSED: lambda d: (
        f"{_listed(d['allowed'])} is allowed. {_listed(d['refused'])} isn't and is not used."
    ),
    Code.ADDRESSES_ALLOWED: lambda d: f"{_listed(d['allowed'])} is allowed.",
    Code.CONNECTION_REFUSED: lambda d: f"{_error(d)} Nothing is listening there.",
    Code.CONNECTION_FAILED: lambda d: f"{_error(d)} A firewall on either side may block it.",
    Code.CONNECTED: _connected,
    Code.NOT_ENCRYPTED: lambda _: "Traffic isn't encrypted. Use HTTPS outside a private network.",
    Code.TLS_FAILED: _tls_failed,
    Code.TLS_ESTABLISHED: _tls_established,
    Code.TLS_EXPIRES_SOON: lambda d: f"{_tls_established(d)} The partner should renew it soon.",
    Code.CERTIFICATE_UNUSABLE: lambda d: f"It can't be used: {d['error']}.",
    Code.CERTIFICATE_EXPIRED: lambda d: f"It expired on {d['expires_at']:%Y-%m-%d}. Request a new one.",
    Code.CERTIFICATE_VALID: lambda d: f"Valid for {d['days']} days, until {d['expires_at']:%Y-%m-%d}.",
    Code.NO_CLOCK: lambda _: "The partner sends no Date header, so there is nothing to compare.",
    Code.CLOCKS_AGREE: lambda _: "The partner's clock and ours are in sync.",
    Code.CLOCKS_DIFFER: lambda d: f"{_clocks(d)} This does no harm yet.",
    Code.CLOCKS_WRONG: lambda d: (
        f"{_clocks(d)} Signatures are valid for five minutes, so they would be rejected."
    ),
    Code.TEST_SEND: _test_send,
}


def holding_label(entry: Any) -> str:
    """Return who or what paused or resumed a partner, of an audit entry."""
    label = "Paused" if entry.action == "held" else "Resumed"
    return f"{label} by {entry.actor}" if entry.actor else f"{label} automatically"


def secret_help(entered: str | None, saved: str | None) -> str:
    """Return the help below a secret's field: whether there is one and how to keep it."""
    hint = "just entered" if entered else secret_hint(saved or "")
    return f"{hint[:1].upper()}{hint[1:]}. Leave blank to keep it." if entered or saved else "Not set."


def secret_placeholder(entered: str | None, saved: str | None) -> str:
    """Return the placeholder of a secret's field."""
    return "just entered" if entered else secret_hint(saved or "")


def ending_in(secret: str) -> str:
    """Return how users tell a secret from others."""
    tail = last_characters(secret)
    return f"ending in …{tail}" if tail else "without a hint"


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
class DayRate:
    """Attempts of the last 24 hours and the share that succeeded."""

    attempts: int
    rate: str


def status_card(status: PartnerStatus) -> StatusCard:
    """Return the state of a partner and the next step."""
    partner, backlog = status.partner, status.waiting
    queue = f"{things(backlog.count, 'webhook')} queued." if backlog.count else "Nothing is queued."
    if partner.paused:
        return StatusCard(
            title="Paused since",
            since=partner.paused_at,
            by=f"by {partner.paused_by}" if partner.paused_by else "automatically",
            text=pause_sentence(partner),
            queue=queue,
            queue_state="held",
            next_step="Resume when the partner is ready. Everything queued is then sent.",
        )
    if status.outage:
        return StatusCard(
            title="Failing since",
            since=status.outage.since,
            text="Several attempts in a row failed. Nothing is lost: webhooks are sent when it recovers.",
            queue=queue,
            queue_state="pending",
            next_step="Run diagnostics, then write to the technical contact.",
            probe_at=status.outage.next_check_at,
        )
    delivered = status.last_good_at is not None
    return StatusCard(
        title="Last delivery" if delivered else "No deliveries yet",
        since=status.last_good_at,
        text=f"{things(backlog.retrying, 'webhook')} retrying after a failed attempt."
        if backlog.retrying
        else "Webhooks are sent as they are created.",
        queue=queue,
        queue_state="pending",
        next_step="None. Send a test after you change the connection." if delivered else "Send a test.",
    )


def day_rate(attempts: int, delivered: int) -> DayRate:
    """Return the success rate of these attempts, rounded down so that 100% means all of them."""
    rate = f"{1000 * delivered // attempts / 10:g}%" if attempts else "–"
    return DayRate(attempts, rate)


def connection_settings(partner: Partner, default_schedule: Sequence[float]) -> list[Setting]:
    """Return the settings of how webhooks are sent."""
    rate = f", {number(partner.rate_per_minute)} per minute" if partner.rate_per_minute else ""
    responses = "Confirm, reject, return for changes" if partner.accepts_return else "Confirm, reject"
    if partner.line_responses:
        responses += "; single lines"
    return [
        Setting("Base URL", partner.base_url),
        Setting("Allowed private addresses", ", ".join(partner.allow_addresses) or "None"),
        Setting("Timeout", wait_text(partner.deadline_seconds)),
        Setting("Concurrency", things(partner.concurrency, "webhook") + rate),
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
    """Return what we prove our identity with. ``certificate`` is None if it is missing or unreadable."""
    rows = [CredentialRow(name, secret_hint(value), is_header=True) for name, value in partner.headers]
    if partner.bearer_token:
        rows.append(CredentialRow("Bearer token", secret_hint(partner.bearer_token)))
    if oauth := partner.oauth:
        scope = f", scope {oauth['scope']}" if oauth["scope"] else ""
        note = f"client {oauth['client_id']}, secret {secret_hint(oauth['client_secret'])}{scope}"
        rows.append(CredentialRow("OAuth", oauth["token_url"], note))
    rows += [
        CredentialRow(
            "Signature", f"secret {secret_hint(saved['secret'])}", until=_time(saved["valid_until"])
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
    """Return what the partner proves its identity with."""
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


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


# --- The page of keys


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key or secret that can be revoked. ``loss`` is what no longer works then."""

    label: str
    since: datetime
    until: datetime | None
    revoke_url: str
    loss: str


@dataclass(frozen=True, slots=True)
class KeySection:
    """One kind of key or secret: those that are active, and the form for a new one."""

    kind: str
    title: str
    scheme: str
    noun: str
    credentials: Sequence[KeyRow]
    empty: str
    hint: str
    add_url: str
    form: Any
    help: str = ""

    @property
    def action(self) -> str:
        """The label of the form for a new one."""
        return f"Rotate {self.noun}" if self.credentials else f"Add {self.noun}"


_ONLY_CREDENTIAL = "It is the only one: requests will be rejected."


def key_sections(
    partner: Partner,
    inbound_keys: Sequence[InboundKey],
    inbound_secrets: Sequence[InboundSecret],
    signing_secrets: Sequence[dict[str, Any]],
    forms: Mapping[str, Any],
) -> list[KeySection]:
    """Return the three kinds of keys and secrets of a partner, with their forms."""
    only_inbound = _ONLY_CREDENTIAL if len(inbound_keys) + len(inbound_secrets) == 1 else ""
    last_secret = "Webhooks will no longer be signed." if len(signing_secrets) == 1 else ""

    def url(endpoint: str, **values: Any) -> str:
        return url_for(f"partners.{endpoint}", partner_id=partner.id, **values)

    return [
        KeySection(
            kind="inbound-key",
            title="Inbound API keys",
            scheme="X-Partner-Key",
            noun="key",
            credentials=[
                KeyRow(
                    f"Key ending in …{key.ends_in}" if key.ends_in else "Key",
                    key.created_at,
                    key.valid_until,
                    url("end_inbound_key", key_id=key.id),
                    only_inbound,
                )
                for key in inbound_keys
            ],
            empty="No keys. Requests with a key will be rejected.",
            hint="Leave blank to generate. Stored as a hash.",
            add_url=url("add_inbound_key"),
            form=forms["inbound-key"],
        ),
        KeySection(
            kind="inbound-secret",
            title="Inbound signing secrets",
            scheme="Standard Webhooks",
            noun="secret",
            credentials=[
                KeyRow(
                    f"Secret {ending_in(saved.secret)}",
                    saved.created_at,
                    saved.valid_until,
                    url("end_inbound_secret", secret_id=saved.id),
                    only_inbound,
                )
                for saved in inbound_secrets
            ],
            empty="No secrets. The partner's requests are not signed.",
            hint="Starts with whsec_. Leave blank to generate.",
            add_url=url("add_inbound_secret"),
            form=forms["inbound-secret"],
            help=(
                "More secure than a key: the secret is never sent, and each signature is valid for one "
                "message and five minutes. A request with a wrong signature is rejected even if its key is "
                "right. Revoke the keys above once the partner signs."
            ),
        ),
        KeySection(
            kind="signing-secret",
            title="Outbound signing secrets",
            scheme="Standard Webhooks",
            noun="secret",
            credentials=[
                KeyRow(
                    f"Secret {ending_in(saved['secret'])}",
                    datetime.fromisoformat(saved["created_at"]),
                    _time(saved["valid_until"]),
                    url("end_signing_secret", secret_id=saved["id"]),
                    last_secret,
                )
                for saved in signing_secrets
            ],
            empty="No secrets. Webhooks are not signed.",
            hint="Starts with whsec_. Leave blank to generate.",
            add_url=url("add_signing_secret"),
            form=forms["signing-secret"],
            help=(
                "While several are active, each webhook carries a signature for each, "
                "so the partner can switch at any time."
            ),
        ),
    ]
