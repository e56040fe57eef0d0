"""Two partners that are added at the same time, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from app.db import Database
from app.partners import service
from app.partners.keys import BadPartner
from tests.queries import run_both


@pytest.mark.parametrize(("name", "field"), [("Network", "name"), ("Other", "key")])
def test_second_partner_with_the_same_name_or_key_is_rejected(
    database: Database, name: str, field: str
) -> None:
    def add(session: Session, name: str = "Network") -> None:
        service.add(session, name, base_url="https://b2b.example", inbound_key="an-inbound-key-1234")

    (error,) = run_both(database, add, lambda session: add(session, name))
    assert isinstance(error, BadPartner) and error.field == field
