"""Labels and sentences of test sends and diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.delivery.call_result import CallResult
from app.delivery.presenters import detail_sentence
from app.partners.certificates import Certificate
from app.ui.chips import Chip
from app.ui.numbers import duration, size
from app.webhooks.diagnostics import Baseline, Code, Finding, Level, Report, Side, Step, clocks_agree
from app.webhooks.presenters import attempt_sentence, http_phrase
from app.webhooks.sample_send import Judgment, SampleResult, SampleSend

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
    Level.OK: Chip("ok", "OK"),
    Level.WARNING: Chip("warn", "Warning"),
    Level.FAILED: Chip("bad", "Failed"),
    Level.SKIPPED: Chip("quiet", "Skipped"),
}
SIDES = {
    Side.NONE: ("", ""),
    Side.OURS: ("our side", "The problem is on our side."),
    Side.THEIRS: ("partner's side", "The problem is on the partner's side."),
    Side.EITHER: ("our side or the partner's", "The problem may be on either side."),
    Side.NETWORK: ("network", "The problem is in the network between us and the partner."),
}
TEST_RESULTS = {
    SampleResult.ACCEPTED: ("ok", "The partner accepted the test."),
    SampleResult.UNDERSTOOD: ("ok", "The partner understood the test."),
    SampleResult.BUSY: ("warn", "The URL and the key are right, but the partner is busy."),
    SampleResult.KEY_REJECTED: ("bad", "Test failed: the partner rejected the API key."),
    SampleResult.NOT_ACCEPTED: ("bad", "Test failed: the partner did not accept it."),
    SampleResult.NOT_DELIVERED: ("bad", "Test failed: it was not delivered."),
}


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the diagnostics as the page shows it."""

    label: str
    chip: Chip
    text: str
    before: str
    side: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of diagnostics in one line."""

    tone: str
    title: str
    text: str


def response_status(result: CallResult) -> str:
    """The HTTP status with its phrase, or that there was no response."""
    if result.status is None:
        return "No response"
    return f"{result.status} {http_phrase(result.status)}"


def response_facts(result: CallResult) -> str:
    """How long the response took, its size and the partner's address."""
    if result.status is None:
        return f"after {duration(result.duration_ms)}"
    facts = [duration(result.duration_ms), size(result.body_size), result.remote_address]
    return " · ".join(fact for fact in facts if fact)


def test_summary(sample_send: SampleSend) -> Summary:
    """The result of a test send."""
    tone, title = TEST_RESULTS[sample_send.judgment.result]
    return Summary(tone, title, _judgment_text(sample_send.judgment))


def token_text(sample_send: SampleSend) -> str:
    """What happened to the OAuth token; empty without OAuth."""
    if not sample_send.token_url:
        return ""
    if sample_send.token_failed:
        return f"{sample_send.token_url} issued no token, so nothing was sent."
    return f"A token was issued by {sample_send.token_url}. It is reused until it expires."


def report_summary(report: Report) -> Summary:
    """The result of diagnostics: the first problem, or that everything works."""
    worst = report.worst
    if worst is None:
        return Summary("ok", "Everything works.", "A webhook sent now would be delivered.")
    text = finding_text(worst)
    if worst.level is Level.WARNING:
        return Summary("warn", "It works, with a warning.", text)
    return Summary("bad", SIDES[worst.side][1], text)


def step_rows(report: Report) -> list[StepRow]:
    """One row per step."""
    return [_step_row(finding, report.baseline) for finding in report.findings]


def finding_text(finding: Finding) -> str:
    """A finding as a sentence or two."""
    return _FINDINGS[finding.code](finding.details)


def _step_row(finding: Finding, baseline: Baseline) -> StepRow:
    problem = finding.level in (Level.FAILED, Level.WARNING)
    return StepRow(
        label=STEPS[finding.step],
        chip=LEVELS[finding.level],
        text=finding_text(finding),
        before=_before(finding, baseline),
        side=SIDES[finding.side][0] if problem else "",
    )


def _before(finding: Finding, baseline: Baseline) -> str:
    """The result of a step at the last successful delivery, if that helps."""
    if finding.level is Level.SKIPPED:
        return ""
    if finding.step in (Step.DNS, Step.CONNECTION) and finding.code is not Code.ADDRESS_LITERAL:
        is_relevant = finding.step is Step.DNS or finding.level is Level.FAILED
        return f"Previously: {_listed(baseline.addresses)}" if baseline.addresses and is_relevant else ""
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
    if judgment.result is SampleResult.KEY_REJECTED:
        return f"It returned {status}. The URL appears to be right."
    if judgment.result in (SampleResult.ACCEPTED, SampleResult.BUSY):
        return f"It returned {status} in the network's format."
    if judgment.result is SampleResult.UNDERSTOOD:
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
        return f"{_error(details)} It worked before. Ask the partner and your DNS administrator."
    return f"{_error(details)} Check the URL for a typo."


def _connected(details: dict[str, Any]) -> str:
    ms = max(1.0, details["ms"])
    return f"{details['address']} accepted the connection on port {details['port']} after {ms:.0f} ms."


def _refused(details: dict[str, Any]) -> str:
    allow_list = ", ".join(details["allow_list"]) or "none"
    return (
        f"Private or reserved, and not allowed: {_listed(details['refused'])}. "
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
    if judgment.result is SampleResult.KEY_REJECTED:
        if details["worked_before"]:
            return f"{text} The key was accepted before. Ask the partner whether it changed."
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
        f"Allowed: {_listed(d['allowed'])}. Not allowed and not used: {_listed(d['refused'])}."
    ),
    Code.ADDRESSES_ALLOWED: lambda d: f"Allowed: {_listed(d['allowed'])}.",
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
    Code.CLOCKS_DIFFER: lambda d: f"{_clocks(d)} Webhooks still work.",
    Code.CLOCKS_WRONG: lambda d: (
        f"{_clocks(d)} Signatures are valid for five minutes, so they would be rejected."
    ),
    Code.TEST_SEND: _test_send,
}
