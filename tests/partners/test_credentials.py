"""Outbound authentication: every kind of credential on a real socket, and how the log shows it."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import clock, create_app
from app.config import Settings
from app.db import Database
from app.delivery.models import Attempt, Message, MessageState
from app.network.signing import new_secret, verify
from app.partners import keys
from app.partners.masking import MASK
from app.partners.models import Partner
from app.webhooks.presenters import message_sentence
from tests.delivery.misbehaving import Received, behaves, responds, response, server_context
from tests.fixture_types import Arrive, ChangePartner, Confirm, ConfirmOrders, Deliver, MoveClock
from tests.partners.credentials import gives_tokens, pem_of, token

pytestmark = pytest.mark.sqlite

BEARER = "a-bearer-token-of-ours"
CLIENT_SECRET = "a-client-secret-of-ours"


@pytest.fixture
def deliver_responses(confirm_orders: ConfirmOrders, deliver: Deliver) -> Callable[..., None]:
    """Respond to orders as Asha and deliver the responses."""

    def deliver_responses(count: int = 1) -> None:
        confirm_orders(count)
        deliver()

    return deliver_responses


def signature_headers(received: Received) -> dict[str, str]:
    return {
        name: received.header(name) or "" for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }


def states(session: Session) -> list[MessageState]:
    session.rollback()
    return list(session.scalars(select(Message.state)))


def test_bearer_token_and_headers_are_sent_and_masked_in_the_log(
    deliver_responses: Any,
    accepting_partner: Any,
    change_partner: ChangePartner,
    session: Session,
    browser_of: Any,
) -> None:
    change_partner(base_url=accepting_partner.url(""), bearer_token=BEARER)
    deliver_responses()
    (received,) = accepting_partner.received
    assert received.header("Authorization") == f"Bearer {BEARER}"
    assert received.header("X-Api-Key") == "a-secret-of-ours"
    attempt = session.scalars(select(Attempt)).one()
    assert attempt.request_headers[-2:] == [["X-Api-Key", MASK], ["Authorization", MASK]]
    for path in (f"/webhooks/{attempt.message_id}", f"/webhooks/{attempt.message_id}.json"):
        for name in ("asha", "meera", "ravi", "admin"):
            text = browser_of(name).get(path).get_data(as_text=True)
            assert BEARER not in text and "a-secret-of-ours" not in text
            assert "Authorization" in text


def test_webhooks_share_a_token_that_the_log_masks(
    deliver_responses: Any,
    accepting_partner: Any,
    serve: Any,
    change_partner: ChangePartner,
    session: Session,
) -> None:
    endpoint = serve(gives_tokens(token("a-token-of-theirs", expires_in=3600)))
    oauth = {"token_url": endpoint.url("/t"), "client_id": "po", "client_secret": CLIENT_SECRET}
    change_partner(base_url=accepting_partner.url(""), oauth={**oauth, "scope": "", "in_body": False})
    deliver_responses(5)
    assert {request.header("Authorization") for request in accepting_partner.received} == {
        "Bearer a-token-of-theirs"
    }
    assert (len(accepting_partner.received), len(endpoint.received)) == (5, 1)
    for attempt in session.scalars(select(Attempt)):
        assert ["Authorization", MASK] in attempt.request_headers
        assert "a-token-of-theirs" not in str(attempt.request_headers)


def test_missing_token_retries_with_a_reason(
    deliver_responses: Any,
    accepting_partner: Any,
    serve: Any,
    change_partner: ChangePartner,
    session: Session,
) -> None:
    endpoint = serve(responds(response(b'{"error":"invalid_client"}', status="401 Unauthorized")))
    oauth = {"token_url": endpoint.url("/t"), "client_id": "po", "client_secret": CLIENT_SECRET}
    change_partner(base_url=accepting_partner.url(""), oauth={**oauth, "scope": "", "in_body": True})
    deliver_responses()
    assert not accepting_partner.received
    message = session.scalars(select(Message)).one()
    assert message.state is MessageState.PENDING and not message.unknown_outcome
    sentence = message_sentence(message)
    assert "invalid_client" in sentence and CLIENT_SECRET not in sentence


def test_each_attempt_has_a_new_signature_of_the_same_body(
    deliver_responses: Any,
    accepting_partner: Any,
    change_partner: ChangePartner,
    database: Database,
    partner: Partner,
    session: Session,
) -> None:
    change_partner(base_url=accepting_partner.url(""))
    with database.writing() as writing:
        row = writing.get_one(Partner, partner.id)
        secret = keys.add_signing_secret(writing, row)
        writing.commit()
    deliver_responses()
    (received,) = accepting_partner.received
    headers = signature_headers(received)
    assert headers["webhook-id"] == received.header("Idempotency-Key")
    assert verify([secret], headers, received.body, clock.now())
    # A signature is not secret: it is logged unmasked, so that readers can verify it.
    logged = {name.lower(): value for name, value in session.scalars(select(Attempt)).one().request_headers}
    assert {name: logged[name] for name in headers} == headers
    assert secret not in str(logged)


def test_rotation_signs_with_both_secrets_until_the_old_one_expires(
    confirm: Confirm,
    arrive: Arrive,
    deliver: Deliver,
    accepting_partner: Any,
    change_partner: ChangePartner,
    database: Database,
    partner: Partner,
    move_clock: MoveClock,
) -> None:
    change_partner(base_url=accepting_partner.url(""))
    old, new = new_secret(), new_secret()
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        keys.add_signing_secret(session, row, old)
        session.commit()
        keys.add_signing_secret(session, row, new, grace=timedelta(hours=24))
        session.commit()
    first, second = arrive(2)
    confirm(first)
    deliver()
    move_clock(hours=25)
    confirm(second)
    deliver()
    during, after = accepting_partner.received
    now = clock.now()
    earlier = now - timedelta(hours=25)
    assert verify([old], signature_headers(during), during.body, earlier)
    assert verify([new], signature_headers(during), during.body, earlier)
    assert not verify([old], signature_headers(after), after.body, now)
    assert verify([new], signature_headers(after), after.body, now)


def test_client_certificate_is_sent_and_its_file_is_private_and_gone(
    deliver_responses: Any,
    serve: Any,
    change_partner: ChangePartner,
    authority: trustme.CA,
    settings: Settings,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = server_context(authority.issue_cert("127.0.0.1"), clients=authority)
    server = serve(behaves, tls=context)
    pair = pem_of(authority.issue_cert("po-confirm.example"))
    change_partner(
        base_url=server.url(""), client_certificate=pair, ca_bundle=authority.cert_pem.bytes().decode()
    )
    files: list[tuple[Path, int]] = []
    load = ssl.SSLContext.load_cert_chain

    def load_and_note(context: ssl.SSLContext, file: str, **options: Any) -> None:
        files.append((Path(file), Path(file).stat().st_mode & 0o777))
        load(context, file, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_and_note)
    deliver_responses()
    assert states(session) == [MessageState.DELIVERED]
    ((file, mode),) = files
    assert mode == 0o600
    assert not file.exists()
    kept = [path for path in settings.instance.rglob("*") if path.is_file()]
    assert not any(pair.encode() in path.read_bytes() for path in kept)


def test_renewed_certificate_is_used_immediately(
    confirm: Confirm,
    arrive: Arrive,
    deliver: Deliver,
    serve: Any,
    change_partner: ChangePartner,
    authority: trustme.CA,
    session: Session,
    move_clock: MoveClock,
) -> None:
    stranger = trustme.CA()
    context = server_context(authority.issue_cert("127.0.0.1"), clients=authority)
    server = serve(behaves, tls=context)
    change_partner(
        base_url=server.url(""),
        client_certificate=pem_of(stranger.issue_cert("po-confirm.example")),
        ca_bundle=authority.cert_pem.bytes().decode(),
        retry_schedule=[60],
    )
    confirm(arrive(1)[0])
    deliver()
    assert states(session) == [MessageState.PENDING]
    move_clock(seconds=90)
    change_partner(client_certificate=pem_of(authority.issue_cert("po-confirm.example")))
    deliver()
    assert states(session) == [MessageState.DELIVERED]


def test_unknown_ca_is_not_trusted(
    deliver_responses: Any, serve: Any, change_partner: ChangePartner, authority: trustme.CA, session: Session
) -> None:
    server = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change_partner(base_url=server.url(""), retry_schedule=[60])
    deliver_responses()
    assert states(session) == [MessageState.PENDING]
    assert not server.received


def test_client_certificate_without_a_temporary_folder_is_retried(
    deliver_responses: Any,
    serve: Any,
    change_partner: ChangePartner,
    authority: trustme.CA,
    tmp_path: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(behaves, tls=server_context(authority.issue_cert("127.0.0.1")))
    change_partner(
        base_url=server.url(""), client_certificate=pem_of(authority.issue_cert("po-confirm.example"))
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    deliver_responses()
    (message,) = session.scalars(select(Message))
    assert message.state is MessageState.PENDING
    assert not server.received


def test_certificate_files_of_earlier_versions_are_removed_at_start(settings: Settings) -> None:
    folder = settings.instance / "certificates"
    folder.mkdir(parents=True)
    (folder / "0123.pem").write_text("a private key")
    create_app(settings)
    assert not folder.exists()
