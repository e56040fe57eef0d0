"""The integration guide: its calls work as printed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import select

from app.db import Database
from app.orders.line_responses import LineAction, LineResponse, Split, encode
from app.partners import keys
from app.partners.models import InboundKey, Partner
from tests.buyer import INBOUND_KEY
from tests.fixture_types import ChangePartner
from tests.people import Browser
from tests.serving import served

pytestmark = pytest.mark.sqlite


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The app on a real socket."""
    with served(app) as url:
        yield url


def run(command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the guide in a shell."""
    environ["PATH"] = os.environ["PATH"]
    return subprocess.run(
        ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=False
    )


def test_integration_guide_call_works(site: str, ravi: Browser, partner: Partner) -> None:
    sheet = ravi.get(f"/partners/{partner.id}/sheet")
    printed = sheet.one("#try-key").get_text().replace("http://localhost", site)
    assert "PARTNER_KEY" in printed and INBOUND_KEY not in sheet.visible_text
    right, wrong = run(printed, PARTNER_KEY=INBOUND_KEY), run(printed, PARTNER_KEY="x")
    assert right.returncode == 0, right.stderr
    assert '"response_code":0' in right.stdout and "Bharat Connect" in right.stdout
    assert wrong.returncode == 22


def test_integration_guide_signed_call_works(
    site: str, ravi: Browser, partner: Partner, database: Database
) -> None:
    with database.writing() as session:
        row = session.get_one(Partner, partner.id)
        secret = keys.add_inbound_secret(session, row)
        for key in session.scalars(select(InboundKey)):
            keys.revoke_key(session, row, key.id)
        session.commit()
    sheet = ravi.get(f"/partners/{partner.id}/sheet")
    assert not sheet.page.select("#try-key"), "the key was revoked"
    printed = sheet.one("#try-signature").get_text().replace("http://localhost", site)
    right, wrong = run(printed, PARTNER_SECRET=secret), run(printed, PARTNER_SECRET="whsec_" + "A" * 32)
    assert right.returncode == 0, right.stderr + right.stdout
    assert "Bharat Connect" in right.stdout
    assert wrong.returncode == 22


def test_integration_guide_describes_requests_and_responses(
    ravi: Browser, partner: Partner, secrets: list[str], change_partner: ChangePartner
) -> None:
    change_partner(success_codes=[0, 7])
    words = ravi.get(f"/partners/{partner.id}/sheet").visible_text
    for expected in (
        '"response_code": 0 or 7',
        f"{partner.base_url}/api/v0/purchase-order/req-confirm",
        "X-Api-Key",
        "webhook-signature",
        "client certificate",
        "Idempotency-Key",
        "5 s, 5 min, 30 min",
        "/api/v0/purchase-order/req-send",
        "/api/v0/docs",
    ):
        assert expected in words


def test_integration_guide_names_line_responses_as_they_are_sent(
    ravi: Browser, partner: Partner, change_partner: ChangePartner
) -> None:
    split = Split(Decimal(1), date(2026, 12, 18))
    line = LineResponse(
        "REF", LineAction.CHANGED, Decimal(2), split.delivery_date, Decimal(3), "Why", splits=(split,)
    )
    names = [name for name, _ in encode([line])]
    url = f"/partners/{partner.id}/sheet"
    assert [dt.get_text() for dt in ravi.get(url).page.select("#lines ~ dl dt")] == names
    change_partner(accepts_line_responses=False)
    assert not ravi.get(url).page.select("#lines")
