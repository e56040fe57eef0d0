"""The search index finds the same orders as a scan of every order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from app.db import Database
from app.db.text_search import TextIndex, matching_ids
from app.network.text import search_key
from app.orders import inbox_queries
from app.orders.inbox_queries import OrderFilter, order_page
from app.orders.models import PurchaseOrder
from tests.fixture_types import Arrive
from tests.people import Browser
from tests.queries import set_order

WORDS = ['say "no"', "100 % cotton", "a_b", "back\\slash", "संदर्भ क्रमांक", "straße 5", "x y", "it's", "zz"]


@pytest.fixture
def orders_with_subjects(session: Session, arrive: Arrive) -> list[int]:
    """Orders with unusual subjects."""
    ids: list[int] = arrive(len(WORDS))
    for order_id, words in zip(ids, WORDS, strict=True):
        session.execute(
            update(PurchaseOrder).where(PurchaseOrder.id == order_id).values(search_text=search_key(words))
        )
    session.commit()
    return ids


def scan(session: Session, words: str) -> set[int]:
    every = session.execute(select(PurchaseOrder.id, PurchaseOrder.search_text)).all()
    return {order_id for order_id, stored in every if search_key(words) in stored}


def listed(session: Session, words: str, **more: Any) -> list[int]:
    page = order_page(session, None, OrderFilter(q=words, **more))
    return [order.id for order in page.rows]


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.one_of(
        st.sampled_from(WORDS).flatmap(
            lambda words: st.tuples(
                st.just(search_key(words)), st.integers(0, len(words)), st.integers(1, 12)
            ).map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]])
        ),
        st.text(alphabet="ab%_\\\"'ß*^: (", min_size=1, max_size=5).map(str.casefold),
    )
)
def test_search_finds_the_same_as_a_scan_of_all_orders(
    session: Session, orders_with_subjects: list[int], words: str
) -> None:
    assert set(listed(session, words)) == scan(session, words)
    matching = matching_ids(session, TextIndex.ORDERS, search_key(words), limit=100)
    assert matching is None or set(matching) >= scan(session, words)


def test_search_for_three_or_more_letters_uses_the_index(
    subtests: pytest.Subtests, session: Session, orders_with_subjects: list[int]
) -> None:
    for words in WORDS[:-1]:
        with subtests.test(words=words):
            order_id = orders_with_subjects[WORDS.index(words)]
            assert matching_ids(session, TextIndex.ORDERS, words.casefold(), limit=1) == [order_id]
            assert listed(session, words.upper() if words.isascii() else words) == [order_id]


def test_search_with_many_matches_walks_the_list(
    session: Session, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(8)
    by_index = listed(session, "por", sort="-received_at")
    assert len(by_index) == 8
    assert matching_ids(session, TextIndex.ORDERS, "por", limit=7) is None
    monkeypatch.setattr(inbox_queries, "SORTED_MAX", 7)
    assert listed(session, "por", sort="-received_at") == by_index


def test_search_index_is_updated_with_the_order(session: Session, arrive: Arrive, asha: Browser) -> None:
    first, second = arrive(2)
    assert not matching_ids(session, TextIndex.ORDERS, "leaves on tuesday", limit=9)
    assert asha.respond(first, "ACCEPT", "Leaves on Tuesday").status_code == 303
    session.rollback()
    assert matching_ids(session, TextIndex.ORDERS, "leaves on tuesday", limit=9) == [first]
    number = session.scalar(select(PurchaseOrder.buyer_po_number).where(PurchaseOrder.id == first))
    assert matching_ids(session, TextIndex.ORDERS, str(number).casefold(), limit=9) == [first]
    set_order(session, second, search_text="other words")
    assert matching_ids(session, TextIndex.ORDERS, "other words", limit=9) == [second]
    other_number = session.scalar(select(PurchaseOrder.buyer_po_number).where(PurchaseOrder.id == second))
    assert not matching_ids(session, TextIndex.ORDERS, str(other_number).casefold(), limit=9)


def test_deleted_order_is_removed_from_the_index(session: Session, orders_with_subjects: list[int]) -> None:
    session.execute(text("UPDATE inbound_message SET order_id = NULL"))
    session.execute(delete(PurchaseOrder).where(PurchaseOrder.id == orders_with_subjects[0]))
    session.commit()
    assert not matching_ids(session, TextIndex.ORDERS, "say", limit=9)
    assert listed(session, "say") == []


def test_search_without_the_index_finds_the_same(
    session: Session, database: Database, orders_with_subjects: list[int]
) -> None:
    if database.is_postgresql:
        session.execute(text("DROP EXTENSION pg_trgm CASCADE"))
    else:
        for name in ("added", "gone", "changed"):
            session.execute(text(f"DROP TRIGGER order_words_{name}"))
        session.execute(text("DROP TABLE order_words"))
    session.commit()
    for words in WORDS:
        assert set(listed(session, words)) == scan(session, words.casefold())


def test_search_does_not_find_orders_of_other_suppliers(
    omar: Any, meera: Browser, arrive: Arrive, session: Session
) -> None:
    arrive(12)
    number = session.scalar(
        select(PurchaseOrder.buyer_po_number).where(PurchaseOrder.supplier_b2b_id == "SUPPB2B0001@bbps")
    )
    assert str(number) in meera.get("/orders", query_string={"q": number}).one("#main").get_text()
    assert "No matches" in omar.get("/orders", query_string={"q": number}).visible_text


def test_search_that_the_index_cannot_answer_walks_the_list(
    session: Session, orders_with_subjects: list[int]
) -> None:
    for words in ("a\0bc", "\0\0\0"):
        assert matching_ids(session, TextIndex.ORDERS, words, limit=5) is None
    for words in ('"""', "***", "^abc", "-abc", "OR AND NOT", "😀😀😀"):
        assert matching_ids(session, TextIndex.ORDERS, words, limit=5) == []
