"""Pages of partners: status, settings, credentials, keys, pause and resume, test sends and diagnostics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from flask import Blueprint, Response, abort, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.audit.models import AuditObject
from app.audit.queries import newest_of
from app.db import notify
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.delivery.service import CHANNEL
from app.delivery.statistics import Totals, step_start, totals
from app.inbound.queries import last_received_at
from app.network.paths import API_PATH
from app.partners import diagnostics_presenters, key_presenters, keys, presenters, queries, service
from app.partners.certificates import BadCertificate, read_authorities, read_pair
from app.partners.draft import decrypt, encrypt
from app.partners.durations import wait_text, waits_text
from app.partners.forms import (
    AnnouncementForm,
    KeyForm,
    PartnerForm,
    ReasonForm,
    version_of,
)
from app.partners.keys import BadPartner
from app.partners.models import Partner
from app.ui import web
from app.webhooks.diagnostics import Baseline, baseline_of, diagnose
from app.webhooks.partner_status import last_delivery, partner_statuses
from app.webhooks.queries import MessageFilter, message_page
from app.webhooks.sample_send import SampleSend, sample, send_sample

log = logging.getLogger(__name__)
Result = TypeVar("Result")
blueprint = Blueprint("partners", __name__, url_prefix="/partners")

CONNECTION_FIELDS = (
    "base_url",
    "allow_addresses",
    "headers",
    "bearer_token",
    "oauth",
    "client_certificate",
    "ca_bundle",
)
"""Fields that decide whether webhooks arrive. A change is tested before it is saved."""
CHANGED_MEANWHILE = "someone else changed this partner while you were editing. Not saved."
PAUSES_SHOWN = 6
"""Latest pauses and resumptions on a partner's page."""
HALF_HOUR = timedelta(minutes=30)
"""The shortest step that the statistics of a whole day have."""
NEWEST = 3
"""Latest webhooks on a partner's page."""
ADD_KEY: dict[str, Callable[..., str]] = {
    "inbound-key": keys.add_key,
    "inbound-secret": keys.add_inbound_secret,
    "signing-secret": keys.add_signing_secret,
}
"""How to add each kind of key or secret, by its name in the URL."""


@blueprint.app_context_processor
def _for_all_pages() -> dict[str, Any]:
    return {"announcements": lambda: queries.announcements(web.db())}


for function in (
    diagnostics_presenters.test_summary,
    diagnostics_presenters.token_text,
    diagnostics_presenters.report_summary,
    diagnostics_presenters.step_rows,
    diagnostics_presenters.response_status,
    diagnostics_presenters.response_facts,
    presenters.pause_event_label,
    presenters.pause_sentence,
    presenters.partner_note,
    presenters.secret_help,
):
    blueprint.app_template_filter(function.__name__)(function)
blueprint.app_template_filter("waits")(waits_text)
blueprint.app_template_filter("wait")(wait_text)


@blueprint.get("")
@access.requires(Permission.VIEW_ALL)
def index() -> Response:
    """List all partners with their status."""
    return web.page(
        "partners/index.html", statuses=partner_statuses(web.db(), queries.all_partners(web.db()))
    )


@blueprint.get("/<int:partner_id>")
@access.requires(Permission.VIEW_ALL)
def partner(partner_id: int) -> Response:
    """Show one partner."""
    return _partner_page(_partner_or_404(partner_id))


@blueprint.get("/new")
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def new() -> Response:
    """Show the form for a new partner."""
    form = PartnerForm()
    form.process(data={"deadline_seconds": 15, "concurrency": 4, "success_codes": "0"})
    return _form_page(form, None)


@blueprint.post("/new")
@access.requires(Permission.MANAGE_PARTNERS)
@access.keeps_form
@access.confirms_password
def create() -> AnyResponse:
    """Add a partner after a successful test."""
    return _save(None)


@blueprint.get("/<int:partner_id>/edit")
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def edit(partner_id: int) -> Response:
    """Show the form with the saved values, without secrets."""
    row, form = _partner_or_404(partner_id), PartnerForm()
    form.show(row)
    return _form_page(form, row)


@blueprint.post("/<int:partner_id>/edit")
@access.requires(Permission.MANAGE_PARTNERS)
@access.keeps_form
@access.confirms_password
def change(partner_id: int) -> AnyResponse:
    """Change a partner after a successful test of a changed URL or credential."""
    return _save(_partner_or_404(partner_id))


@blueprint.post("/<int:partner_id>/pause")
@access.requires(Permission.PAUSE_PARTNERS)
@access.keeps_form
def pause(partner_id: int) -> AnyResponse:
    """Pause the partner, with a reason."""
    row, form = _locked_or_404(partner_id), ReasonForm()
    if not form.validate():
        return _partner_page(row, status=422, pause_form=form)
    service.pause(web.db(), row, form.reason.data or "", by=access.current_person().display_name)
    return _done(row, "paused")


@blueprint.post("/<int:partner_id>/resume")
@access.requires(Permission.PAUSE_PARTNERS)
def resume(partner_id: int) -> AnyResponse:
    """Resume the partner, with a reason."""
    row, form = _locked_or_404(partner_id), ReasonForm()
    if not form.validate():
        return _partner_page(row, status=422, resume_form=form)
    service.resume(web.db(), row, form.reason.data or "", by=access.current_person().display_name)
    notify(web.db(), CHANNEL)
    return _done(row, "resumed")


@blueprint.post("/<int:partner_id>/note")
@access.requires(Permission.PAUSE_PARTNERS)
@access.keeps_form
def announce(partner_id: int) -> AnyResponse:
    """Publish or remove the announcement."""
    row, form = _locked_or_404(partner_id), AnnouncementForm()
    if not form.validate():
        return _partner_page(row, status=422, announcement_form=form)
    text = form.text.data or ""
    service.announce(web.db(), row, text, by=access.current_person().display_name)
    return _done(row, "announced" if text else "announcement_removed")


@blueprint.get("/<int:partner_id>/test")
@access.requires(Permission.SEND_TEST)
def test(partner_id: int) -> Response:
    """Explain the test send and show its message."""
    row = _partner_or_404(partner_id)
    return web.page(
        "partners/test.html", partner=row, sample=sample(clock.now()), path=API_PATH, sample_send=None
    )


@blueprint.post("/<int:partner_id>/test")
@access.requires(Permission.SEND_TEST)
def send_test(partner_id: int) -> Response:
    """Run a test send and show request and response. It changes nothing."""
    row = _partner_or_404(partner_id)
    sample_send = _without_transaction(lambda: send_sample(row))
    return web.page("partners/test.html", partner=row, sample_send=sample_send)


@blueprint.get("/<int:partner_id>/check")
@access.requires(Permission.SEND_TEST)
def diagnostics(partner_id: int) -> Response:
    """Explain the diagnostics."""
    row = _partner_or_404(partner_id)
    return web.page("partners/diagnostics.html", partner=row, baseline=_baseline(row), report=None)


@blueprint.post("/<int:partner_id>/check")
@access.requires(Permission.SEND_TEST)
def run_diagnostics(partner_id: int) -> Response:
    """Run the diagnostics. If everything works, store the facts as the next baseline."""
    row = _partner_or_404(partner_id)
    baseline = _baseline(row)
    report = _without_transaction(lambda: diagnose(row, baseline))
    if report.works:
        with web.database().writing() as session:
            locked = queries.partner_for_update(session, partner_id) or abort(404)
            locked.baseline = report.facts
            session.commit()
    return web.page("partners/diagnostics.html", partner=row, baseline=baseline, report=report)


@blueprint.get("/<int:partner_id>/sheet")
@access.requires(Permission.SEND_TEST)
def integration_guide(partner_id: int) -> Response:
    """Show the integration guide for the partner. It contains no secrets."""
    row = _partner_or_404(partner_id)
    now = clock.now()
    return web.page(
        "partners/integration_guide.html",
        partner=row,
        own_url=web.public_url(),
        path=API_PATH,
        sample=sample(now),
        line_response_names=presenters.LINE_RESPONSE_NAMES,
        schedule=row.retry_schedule or DEFAULT_SCHEDULE,
        signed=bool(keys.active_signing_secrets(row.signing_secrets, now)),
        has_key=bool(queries.active_keys(web.db(), row.id, now)),
        signs=bool(queries.active_secrets(web.db(), now, row.id)),
    )


@blueprint.get("/<int:partner_id>/keys")
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def key_page(partner_id: int) -> Response:
    """Show keys and signing secrets, and how to rotate them."""
    return _key_page(_partner_or_404(partner_id))


@blueprint.post('/<int:partner_id>/keys/<any("inbound-key", "inbound-secret", "signing-secret"):kind>')
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def add_key(partner_id: int, kind: str) -> Response:
    """Add a key or secret of this kind, entered or generated."""
    row, form = _locked_or_404(partner_id), KeyForm()
    if not form.validate():
        return _key_page(row, status=422, invalid=(kind, form))
    try:
        secret = ADD_KEY[kind](web.db(), row, form.entered_key(), grace=form.grace_time())
    except BadPartner as error:
        form.key.errors = [error.sentence]
        return _key_page(row, status=422, invalid=(kind, form))
    web.db().commit()
    log.info("partner %s: new %s by %s", row.id, kind, access.current_person().username)
    # An entered key is known; a generated one is shown here and never again.
    return _key_page(row, new_key=(kind, "" if form.entered_key() else secret))


@blueprint.post('/<int:partner_id>/keys/<any("inbound-key", "inbound-secret"):kind>/<int:key_id>/revoke')
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def revoke_inbound(partner_id: int, kind: str, key_id: int) -> AnyResponse:
    """Revoke an inbound API key or signing secret."""
    row = _locked_or_404(partner_id)
    revoke = keys.revoke_key if kind == "inbound-key" else keys.revoke_inbound_secret
    return _revoked(row, revoke(web.db(), row, key_id))


@blueprint.post("/<int:partner_id>/keys/signing-secret/<secret_id>/revoke")
@access.requires(Permission.MANAGE_PARTNERS)
@access.confirms_password
def revoke_signing_secret(partner_id: int, secret_id: str) -> AnyResponse:
    """Revoke an outbound signing secret."""
    row = _locked_or_404(partner_id)
    return _revoked(row, keys.revoke_signing_secret(web.db(), row, secret_id))


def _partner_or_404(partner_id: int) -> Partner:
    return web.db().get(Partner, partner_id) or abort(404)


def _locked_or_404(partner_id: int) -> Partner:
    return queries.partner_for_update(web.db(), partner_id) or abort(404)


def _without_transaction(call: Callable[[], Result]) -> Result:
    """Call the partner with no transaction open, which on SQLite would block all writes."""
    web.db().commit()
    return call()


def _done(row: Partner, result: str) -> AnyResponse:
    web.db().commit()
    log.info("partner %s changed by %s: %s", row.id, access.current_person().username, result)
    return web.redirect_after_post(url_for(".partner", partner_id=row.id, done=result))


def _baseline(row: Partner) -> Baseline:
    return baseline_of(row.baseline, last_delivery(web.db(), row.id))


def _partner_page(
    row: Partner,
    status: int = 200,
    pause_form: ReasonForm | None = None,
    resume_form: ReasonForm | None = None,
    announcement_form: AnnouncementForm | None = None,
) -> Response:
    now = clock.now()
    (partner_status,) = partner_statuses(web.db(), [row])
    return web.page(
        "partners/partner.html",
        status=status,
        partner=row,
        partner_status=partner_status,
        backlog=partner_status.waiting,
        card=presenters.status_card(partner_status),
        last_delivery=last_delivery(web.db(), row.id),
        day=_last_day(row, now),
        last_incoming_at=last_received_at(web.db(), row.id),
        done=_done_notice(),
        newest=message_page(web.db(), None, MessageFilter(partner=row.name), limit=NEWEST).rows,
        pause_form=pause_form or ReasonForm(formdata=None),
        resume_form=resume_form or ReasonForm(formdata=None),
        announcement_form=announcement_form or AnnouncementForm(text=row.announcement),
        connection=presenters.connection_settings(row, DEFAULT_SCHEDULE),
        outbound=presenters.outbound_credentials(
            row,
            [saved for saved in row.signing_secrets if keys.is_active(saved, now)],
            _read(read_pair, row.client_certificate),
            _read(read_authorities, row.ca_bundle) or [],
        ),
        inbound=presenters.inbound_credentials(
            row, queries.active_keys(web.db(), row.id, now), queries.active_secrets(web.db(), now, row.id)
        ),
        pause_events=newest_of(
            web.db(),
            AuditObject.PARTNER,
            [str(row.id)],
            actions=tuple(presenters.PAUSE_EVENTS),
            limit=PAUSES_SHOWN,
        ),
    )


def _last_day(row: Partner, now: datetime) -> presenters.Day:
    """The attempts of the last 24 hours, up to the end of the current half hour."""
    until = step_start(now, HALF_HOUR) + HALF_HOUR
    since = until - timedelta(days=1)
    steps = totals(web.db(), since, until, HALF_HOUR)
    starts = [since + place * HALF_HOUR for place in range(48)]
    return presenters.last_day(
        [(start, steps.get((start, row.id), Totals())) for start in starts], web.zone()
    )


def _done_notice() -> presenters.Notice | None:
    """The confirmation of what was just done, if anything."""
    return presenters.CONFIRMATIONS.get(request.args.get("done", ""))


def _read(read: Callable[[str], Result], pem: str) -> Result | None:
    try:
        return read(pem) if pem else None
    except BadCertificate:
        return None


def _save(saved: Partner | None) -> AnyResponse:
    """Check the form, test the connection if it changed, then save. The test has no open transaction."""
    form = PartnerForm()
    secrets = form.entered_secrets(decrypt(web.settings().secret_key, form.draft.data or ""))
    if not form.validate():
        return _form_page(form, saved, secrets, status=422)
    try:
        details = form.details(saved, secrets)
        changed_partner = service.candidate(saved)
        service.apply(web.db(), changed_partner, details)
    except BadPartner as error:
        form.add_errors(error)
        return _form_page(form, saved, secrets, status=422)
    if saved is not None and form.version.data != version_of(saved):
        return _conflict_page(form, saved, secrets, BadPartner(CHANGED_MEANWHILE))
    only_test = request.form.get("intent") == "try"
    is_connection_changed = saved is None or _differ_in_connection(saved, changed_partner)
    sample_send = None
    if only_test or (is_connection_changed and not form.untested.data):
        sample_send = _without_transaction(lambda: send_sample(changed_partner))
        if only_test or not sample_send.judgment.works:
            return _form_page(form, saved, secrets, sample_send, status=200 if only_test else 422)
    try:
        saved_id = _save_details(saved, details, form.version.data)
    except BadPartner as error:  # another request saved first
        return _conflict_page(form, saved, secrets, error, sample_send)
    done = "saved" if sample_send else "untested" if is_connection_changed else "kept"
    log.info("partner %s changed by %s: %s", saved_id, access.current_person().username, done)
    page = ".key_page" if saved is None else ".partner"
    return web.redirect_after_post(url_for(page, partner_id=saved_id, done=done))


def _differ_in_connection(saved: Partner, changed: Partner) -> bool:
    """Whether the URL or the credentials changed, so that a test send shows something new."""
    return any(getattr(saved, name) != getattr(changed, name) for name in CONNECTION_FIELDS)


def _save_details(saved: Partner | None, details: service.Details, version: str | None) -> int:
    """Save in a separate transaction: the request's ended before the partner was called.

    ``version`` is the one that the form shows. Errors: BadPartner if someone else saved another version.
    """
    web.db().commit()
    with web.database().writing() as session:
        locked = None
        if saved is not None:
            locked = queries.partner_for_update(session, saved.id) or abort(404)
            if version != version_of(locked):
                raise BadPartner(CHANGED_MEANWHILE)
        row = service.save(session, locked, details)
        session.commit()
        return row.id


def _conflict_page(
    form: PartnerForm,
    saved: Partner | None,
    secrets: dict[str, str],
    error: BadPartner,
    sample_send: SampleSend | None = None,
) -> Response:
    """The form with what was entered, for the version that someone else saved meanwhile."""
    form.add_errors(error)
    if saved is not None:
        web.db().refresh(saved)
        form.version.data = version_of(saved)
    return _form_page(form, saved, secrets, sample_send, status=409)


def _form_page(
    form: PartnerForm,
    saved: Partner | None,
    secrets: dict[str, str] | None = None,
    sample_send: SampleSend | None = None,
    status: int = 200,
) -> Response:
    secrets = form.without_refused(secrets or {})
    form.draft.data = encrypt(web.settings().secret_key, secrets)
    has_certificate = bool(secrets.get("client_certificate") or (saved and saved.client_certificate))
    return web.page(
        "partners/edit.html",
        status=status,
        form=form,
        partner=saved,
        secrets=secrets,
        headers=presenters.header_rows(form, saved, secrets),
        has_certificate=has_certificate,
        shows_certificates=has_certificate or form.has_certificate_input(),
        sample_send=sample_send,
    )


def _key_page(
    row: Partner,
    status: int = 200,
    new_key: tuple[str, str] | None = None,
    invalid: tuple[str, KeyForm] | None = None,
) -> Response:
    now = clock.now()
    forms = {kind: KeyForm(formdata=None) for kind in ADD_KEY}
    if invalid:
        forms[invalid[0]] = invalid[1]
    return web.page(
        "partners/keys.html",
        status=status,
        partner=row,
        new_key=new_key,
        done=_done_notice(),
        sections=key_presenters.key_sections(
            row,
            queries.active_keys(web.db(), row.id, now),
            queries.active_secrets(web.db(), now, row.id),
            [saved for saved in row.signing_secrets if keys.is_active(saved, now)],
            forms,
        ),
    )


def _revoked(row: Partner, is_revoked: bool) -> AnyResponse:
    if not is_revoked:
        abort(404)
    web.db().commit()
    log.info("partner %s: a key was revoked by %s", row.id, access.current_person().username)
    return web.redirect_after_post(url_for(".key_page", partner_id=row.id))
