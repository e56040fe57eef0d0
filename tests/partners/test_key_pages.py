"""Keys and secrets are shown once, and expire after a grace period."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.partners.models import InboundKey, Partner
from tests.buyer import INBOUND_KEY
from tests.fixture_types import MoveClock
from tests.people import Browser

pytestmark = pytest.mark.sqlite


def test_generated_key_is_shown_once_and_the_old_one_expires(
    admin: Browser, anonymous: Browser, partner: Partner, session: Session, move_clock: MoveClock
) -> None:
    page = f"/partners/{partner.id}/keys"
    url = f"{page}/inbound-key"
    shown = admin.submit(page, url, grace="24")
    generated = shown.one("#new-key").get_text()
    assert "won't be shown again" in shown.visible_text
    assert generated not in admin.get(page).get_data(as_text=True)
    assert len(session.scalars(select(InboundKey)).all()) == 2

    def ping(key: str) -> int:
        return int(anonymous.get("/api/v0/ping", headers={"X-Partner-Key": key}).status_code)

    assert (ping(generated), ping(INBOUND_KEY)) == (200, 200)
    move_clock(hours=25)
    assert (ping(generated), ping(INBOUND_KEY)) == (200, 401)
    shown = admin.get(page)
    assert "It is the only one" in shown.one(".revoke").get_text()
    end = str(shown.one("main form[action*='/revoke']")["action"])
    assert admin.submit(page, end).status_code == 303
    assert ping(generated) == 401


@pytest.mark.parametrize("kind", ["inbound-key", "inbound-secret", "signing-secret"])
def test_entered_key_is_never_shown_and_invalid_keys_are_rejected(
    admin: Browser, partner: Partner, kind: str
) -> None:
    page = f"/partners/{partner.id}/keys"
    url = f"{page}/{kind}"
    fields = admin.fill(page, url)
    refused = admin.send(url, {**fields, "key": "short"})
    assert refused.status_code == 422 and refused.page.select(".field-error")
    assert refused.one("main [autofocus]")["id"] == kind, "the page scrolls to the third form"
    assert "Choose a value from the list" in admin.send(url, {**fields, "grace": "-5"}).visible_text
    entered = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    saved = admin.send(url, {**fields, "key": entered})
    assert saved.status_code == 200 and "Saved" in saved.visible_text
    assert entered not in saved.get_data(as_text=True)
    assert "LaSw" in saved.visible_text
