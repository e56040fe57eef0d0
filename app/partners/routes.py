"""The partners: how each stands, its credentials and limits, holding and resuming, trying and checking."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from flask import Blueprint, Response, abort, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from app import clock
from app.accounts import access
from app.accounts.access import Permission
from app.audit.models import AuditAction, AuditObject
from app.audit.queries import newest_of
from app.db import notify
from app.delivery.claiming import PATH
from app.delivery.retry_policy import DEFAULT_SCHEDULE
from app.delivery.service import CHANNEL
from app.partners import keys, queries, service
from app.partners.certificates import BadCertificate, read_authorities, read_pair
from app.partners.draft import seal, unseal
from app.partners.durations import wait_in_words, waits_in_words
from app.partners.forms import (
    KeyForm,
    NoteForm,
    PartnerForm,
    PauseForm,
    PressForm,
    ResumeForm,
    version_of,
)
from app.partners.keys import BadPartner
from app.partners.masking import told
from app.partners.models import Partner
from app.ui import web
from app.webhooks.diagnostics import before_of, examine
from app.webhooks.partner_status import last_good, standings
from app.webhooks.queries import MessageFilter, message_page
from app.webhooks.test_send import Trial, sample, try_out

log = logging.getLogger(__name__)
Result = TypeVar("Result")
blueprint = Blueprint("partners", __name__, url_prefix="/partners")

REACH = (
    *("base_url", "allow_addresses", "headers", "bearer_token", "oauth"),
    *("client_certificate", "ca_bundle"),
)
"""What decides whether messages arrive: a change of it is tried before it is saved."""
HOLDINGS = 6
"""Of when it was held and let go, so much stands on its page."""
NEWEST = 5
"""Messages that a partner's page shows: enough to see whether it works just now."""
DONE = {
    "saved": "Saved. The partner was tried first, and it works.",
    "kept": "Saved. Neither address nor credentials changed, so nothing was tried.",
    "untried": "Saved without trying. Send a test before you rely on it.",
    "paused": "Paused. Nothing leaves until it is resumed.",
    "resumed": "Resumed. What waited leaves now.",
    "noted": "Everybody sees the note now.",
    "unnoted": "The note is gone.",
}


@blueprint.app_context_processor
def _for_all_pages() -> dict[str, Any]:
    return {"incidents": lambda: queries.incidents(web.db())}


@blueprint.app_template_filter("secret_told")
def _secret_told(secret: str) -> str:
    return told(secret)


@blueprint.app_template_filter("as_time")
def _as_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


blueprint.app_template_filter("waits")(waits_in_words)
blueprint.app_template_filter("wait")(wait_in_words)


@blueprint.get("")
@access.requires(Permission.VIEW_ALL)
def index() -> Response:
    """All partners and how each stands."""
    return web.page("partners/index.html", standings=standings(web.db(), queries.all_partners(web.db())))


@blueprint.get("/<int(max=2147483647):partner_id>")
@access.requires(Permission.VIEW_ALL)
def partner(partner_id: int) -> Response:
    """One partner."""
    return _partner_page(_found(partner_id))


@blueprint.get("/new")
@access.requires(Permission.MANAGE_PARTNERS)
def new() -> Response:
    """The form for another partner."""
    form = PartnerForm()
    form.process(data={"deadline_seconds": 15, "concurrency": 4, "success_codes": "0"})
    return _form_page(form, None)


@blueprint.post("/new")
@access.requires(Permission.MANAGE_PARTNERS)
def create() -> AnyResponse:
    """Add a partner, after it was tried."""
    return _save(None)


@blueprint.get("/<int(max=2147483647):partner_id>/edit")
@access.requires(Permission.MANAGE_PARTNERS)
def edit(partner_id: int) -> Response:
    """The form with what is kept, all but the secrets."""
    found, form = _found(partner_id), PartnerForm()
    form.show(found)
    return _form_page(form, found)


@blueprint.post("/<int(max=2147483647):partner_id>/edit")
@access.requires(Permission.MANAGE_PARTNERS)
def change(partner_id: int) -> AnyResponse:
    """Change a partner, after what decides whether messages arrive was tried."""
    return _save(_found(partner_id))


@blueprint.post("/<int(max=2147483647):partner_id>/pause")
@access.requires(Permission.PAUSE_PARTNERS)
def pause(partner_id: int) -> AnyResponse:
    """Hold its messages, for a reason."""
    found, form = _locked(partner_id), PauseForm()
    if not form.validate():
        return _partner_page(found, status=422, pausing=form)
    service.pause(web.db(), found, form.reason.data or "", by=access.current_person().display_name)
    return _done(found, "paused")


@blueprint.post("/<int(max=2147483647):partner_id>/resume")
@access.requires(Permission.PAUSE_PARTNERS)
def resume(partner_id: int) -> AnyResponse:
    """Let its messages go again, for a reason."""
    found, form = _locked(partner_id), ResumeForm()
    if not form.validate():
        return _partner_page(found, status=422, resuming=form)
    service.resume(web.db(), found, form.reason.data or "", by=access.current_person().display_name)
    notify(web.db(), CHANNEL)
    return _done(found, "resumed")


@blueprint.post("/<int(max=2147483647):partner_id>/note")
@access.requires(Permission.PAUSE_PARTNERS)
def note(partner_id: int) -> AnyResponse:
    """Tell everybody something about it, or take that back."""
    found, form = _locked(partner_id), NoteForm()
    if not form.validate():
        return _partner_page(found, status=422, noting=form)
    words = form.words.data or ""
    service.note(web.db(), found, words, by=access.current_person().display_name)
    return _done(found, "noted" if words else "unnoted")


@blueprint.get("/<int(max=2147483647):partner_id>/test")
@access.requires(Permission.SEND_TEST)
def test(partner_id: int) -> Response:
    """What a test send is, and the button for it."""
    found = _found(partner_id)
    return web.page("partners/test.html", partner=found, sample=sample(clock.now()), path=PATH, trial=None)


@blueprint.post("/<int(max=2147483647):partner_id>/test")
@access.requires(Permission.SEND_TEST)
def send_test(partner_id: int) -> Response:
    """Send the harmless sample and show the whole exchange. It changes nothing."""
    found = _found(partner_id)
    trial = _unlocked(lambda: try_out(found))
    return web.page("partners/test.html", partner=found, trial=trial)


@blueprint.get("/<int(max=2147483647):partner_id>/check")
@access.requires(Permission.SEND_TEST)
def check(partner_id: int) -> Response:
    """What the check looks at, and how it was when all was well."""
    found = _found(partner_id)
    return web.page("partners/check.html", partner=found, before=_before(found), report=None)


@blueprint.post("/<int(max=2147483647):partner_id>/check")
@access.requires(Permission.SEND_TEST)
def make_check(partner_id: int) -> Response:
    """Go the way to the partner step by step. Where all is well, that is kept to compare with."""
    found = _found(partner_id)
    before = _before(found)
    report = _unlocked(lambda: examine(found, before))
    if report.well:
        with web.database().writing() as session:
            row = queries.partner_for_update(session, partner_id) or abort(404)
            row.last_good = report.facts
            session.commit()
    return web.page("partners/check.html", partner=found, before=before, report=report)


@blueprint.get("/<int(max=2147483647):partner_id>/sheet")
@access.requires(Permission.SEND_TEST)
def sheet(partner_id: int) -> Response:
    """What to hand to the partner: how it calls us, and how we call it. No secret stands in it."""
    found = _found(partner_id)
    now = clock.now()
    return web.page(
        "partners/sheet.html",
        partner=found,
        ours=web.public_url(),
        path=PATH,
        sample=sample(now),
        schedule=found.retry_schedule or DEFAULT_SCHEDULE,
        signed=bool(keys.active_signing_secrets(found.signing_secrets, now)),
        has_key=bool(queries.active_keys(web.db(), found.id, now)),
        signs=bool(queries.active_secrets(web.db(), now, found.id)),
    )


@blueprint.get("/<int(max=2147483647):partner_id>/keys")
@access.requires(Permission.MANAGE_PARTNERS)
def key_page(partner_id: int) -> Response:
    """Its keys and signing secrets, and how each is replaced."""
    return _key_page(_found(partner_id))


@blueprint.post("/<int(max=2147483647):partner_id>/keys/inbound-key")
@access.requires(Permission.MANAGE_PARTNERS)
def add_inbound_key(partner_id: int) -> Response:
    """Another key that lets its messages in."""
    return _add(partner_id, "inbound-key", keys.add_key)


@blueprint.post("/<int(max=2147483647):partner_id>/keys/inbound-secret")
@access.requires(Permission.MANAGE_PARTNERS)
def add_inbound_secret(partner_id: int) -> Response:
    """Another secret by which it signs its messages."""
    return _add(partner_id, "inbound-secret", keys.add_inbound_secret)


@blueprint.post("/<int(max=2147483647):partner_id>/keys/signing-secret")
@access.requires(Permission.MANAGE_PARTNERS)
def add_signing_secret(partner_id: int) -> Response:
    """Another secret by which we sign ours."""
    return _add(partner_id, "signing-secret", keys.add_signing_secret)


@blueprint.post("/<int(max=2147483647):partner_id>/keys/inbound-key/<int(max=2147483647):key_id>/end")
@access.requires(Permission.MANAGE_PARTNERS)
def end_inbound_key(partner_id: int, key_id: int) -> AnyResponse:
    """Let nothing in by this key."""
    return _end(partner_id, lambda session, found: keys.end_key(session, found, key_id))


@blueprint.post("/<int(max=2147483647):partner_id>/keys/inbound-secret/<int(max=2147483647):secret_id>/end")
@access.requires(Permission.MANAGE_PARTNERS)
def end_inbound_secret(partner_id: int, secret_id: int) -> AnyResponse:
    """Trust no signature by this secret."""
    return _end(partner_id, lambda session, found: keys.end_inbound_secret(session, found, secret_id))


@blueprint.post("/<int(max=2147483647):partner_id>/keys/signing-secret/<secret_id>/end")
@access.requires(Permission.MANAGE_PARTNERS)
def end_signing_secret(partner_id: int, secret_id: str) -> AnyResponse:
    """Sign no more by this secret."""
    return _end(partner_id, lambda session, found: keys.end_signing_secret(session, found, secret_id))


def _found(partner_id: int) -> Partner:
    return queries.partner(web.db(), partner_id) or abort(404)


def _locked(partner_id: int) -> Partner:
    return queries.partner_for_update(web.db(), partner_id) or abort(404)


def _unlocked(ask: Callable[[], Result]) -> Result:
    """Ask the network with no transaction open: on SQLite nobody could write for that long."""
    web.db().commit()
    return ask()


def _done(found: Partner, what: str) -> AnyResponse:
    web.db().commit()
    log.info("partner %s: %s by %s", found.id, what, access.current_person().username)
    return web.redirect_after_post(url_for(".partner", partner_id=found.id, done=what))


def _before(found: Partner) -> Any:
    return before_of(found.last_good, last_good(web.db(), found.id))


def _partner_page(
    found: Partner,
    status: int = 200,
    pausing: PauseForm | None = None,
    resuming: ResumeForm | None = None,
    noting: NoteForm | None = None,
) -> Response:
    now = clock.now()
    noting = noting or NoteForm(words=found.incident_note)
    (stands,) = standings(web.db(), [found])
    return web.page(
        "partners/partner.html",
        status=status,
        partner=found,
        standing=stands,
        good=last_good(web.db(), found.id),
        done=DONE.get(request.args.get("done", "")),
        newest=message_page(web.db(), None, MessageFilter(partner=found.name), limit=NEWEST).messages,
        pausing=pausing or PauseForm(formdata=None),
        resuming=resuming or ResumeForm(formdata=None),
        noting=noting,
        certificate=_read(read_pair, found.client_certificate),
        authorities=_read(read_authorities, found.ca_bundle) or [],
        inbound_keys=queries.active_keys(web.db(), found.id, now),
        inbound_secrets=queries.active_secrets(web.db(), now, found.id),
        signing_secrets=[kept for kept in found.signing_secrets if keys.is_active(kept, now)],
        default_schedule=DEFAULT_SCHEDULE,
        holdings=newest_of(
            web.db(),
            AuditObject.PARTNER,
            str(found.id),
            (AuditAction.PAUSED, AuditAction.RESUMED),
            limit=HOLDINGS,
        ),
    )


def _read(read: Callable[[str], Result], pem: str) -> Result | None:
    try:
        return read(pem) if pem else None
    except BadCertificate:
        return None


def _save(kept: Partner | None) -> AnyResponse:
    form = PartnerForm()
    typed = form.typed(unseal(web.settings().secret_key, form.draft.data or ""))
    if not form.validate():
        return _form_page(form, kept, typed, status=422)
    try:
        details = form.details(kept, typed)
        wanted = service.candidate(kept)
        service.apply(web.db(), wanted, details)
    except BadPartner as error:
        form.blame(error)
        return _form_page(form, kept, typed, status=422)
    if kept is not None and form.seen.data != version_of(kept):
        form.form_errors.append("Somebody changed this partner since you opened the form. Nothing was saved.")
        form.seen.data = version_of(kept)
        return _form_page(form, kept, typed, status=409)
    only_try = request.form.get("intent") == "try"
    changed = kept is None or any(getattr(kept, name) != getattr(wanted, name) for name in REACH)
    trial = None
    if only_try or (changed and not form.untried.data):
        trial = _unlocked(lambda: try_out(wanted))
        if only_try or not trial.judged.works:
            return _form_page(form, kept, typed, trial, status=200 if only_try else 422)
    try:
        saved = _saved(kept, details)
    except BadPartner as error:  # somebody was faster
        form.blame(error)
        return _form_page(form, kept, typed, trial, status=409)
    done = "saved" if trial else "untried" if changed else "kept"
    log.info("partner %s: %s by %s", saved, done, access.current_person().username)
    page = ".key_page" if kept is None else ".partner"
    return web.redirect_after_post(url_for(page, partner_id=saved, done=done))


def _saved(kept: Partner | None, details: service.Details) -> int:
    """Write it in a transaction of its own: the request's ended before the network was asked."""
    web.db().commit()
    with web.database().writing() as session:
        locked = None
        if kept is not None:
            locked = queries.partner_for_update(session, kept.id) or abort(404)
        row = service.save(session, locked, details)
        session.commit()
        return row.id


def _form_page(
    form: PartnerForm,
    kept: Partner | None,
    typed: dict[str, str] | None = None,
    trial: Trial | None = None,
    status: int = 200,
) -> Response:
    typed = form.usable(typed or {})
    form.draft.data = seal(web.settings().secret_key, typed)
    return web.page("partners/edit.html", status=status, form=form, partner=kept, typed=typed, trial=trial)


def _key_page(
    found: Partner,
    status: int = 200,
    made: tuple[str, str] | None = None,
    wrong: tuple[str, KeyForm] | None = None,
) -> Response:
    now = clock.now()
    forms = {kind: KeyForm(formdata=None) for kind in ("inbound-key", "inbound-secret", "signing-secret")}
    if wrong:
        forms[wrong[0]] = wrong[1]
    return web.page(
        "partners/keys.html",
        status=status,
        partner=found,
        forms=forms,
        made=made,
        done=DONE.get(request.args.get("done", "")),
        inbound_keys=queries.active_keys(web.db(), found.id, now),
        inbound_secrets=queries.active_secrets(web.db(), now, found.id),
        signing_secrets=[kept for kept in found.signing_secrets if keys.is_active(kept, now)],
    )


def _add(partner_id: int, kind: str, add: Callable[..., str]) -> Response:
    found, form = _locked(partner_id), KeyForm()
    if not form.validate():
        return _key_page(found, status=422, wrong=(kind, form))
    try:
        secret = add(web.db(), found, form.given(), grace=form.grace_time())
    except BadPartner as error:
        words = str(error)
        form.key.errors = [words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")]
        return _key_page(found, status=422, wrong=(kind, form))
    web.db().commit()
    log.info("partner %s: new %s by %s", found.id, kind, access.current_person().username)
    # What somebody typed they know; what was made is told here and never again.
    return _key_page(found, made=(kind, "" if form.given() else secret))


def _end(partner_id: int, end: Callable[[Session, Partner], bool]) -> AnyResponse:
    found = _locked(partner_id)
    if not PressForm().validate() or not end(web.db(), found):
        abort(404)
    web.db().commit()
    log.info("partner %s: a key was ended by %s", found.id, access.current_person().username)
    return web.redirect_after_post(url_for(".key_page", partner_id=found.id))
