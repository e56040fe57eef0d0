"""The transition table, word by word."""

import pytest

from app.network import vocabulary
from app.network.vocabulary import ErrorCode, Status, SupplierResponse

STATUSES = [*Status, "HELD_BY_CUSTOMS", ""]


@pytest.mark.parametrize("response", SupplierResponse)
@pytest.mark.parametrize("status", STATUSES)
def test_only_a_created_order_is_answered(status: str, response: SupplierResponse) -> None:
    assert vocabulary.may_respond(status, response) is (status == "CREATED")


def test_an_unknown_answer_is_never_given() -> None:
    assert not vocabulary.may_respond("CREATED", "PERHAPS")
    with pytest.raises(ValueError, match="PERHAPS"):
        vocabulary.status_after("PERHAPS")


@pytest.mark.parametrize(
    ("response", "status"), [("ACCEPT", "ACCEPTED"), ("REJECT", "REJECTED"), ("RETURN", "RETURNED")]
)
def test_each_answer_leads_to_its_status(response: str, status: str) -> None:
    assert vocabulary.status_after(response) == status


@pytest.mark.parametrize("named", [("CANCEL", "CLOSE"), ("CANCELLED", "CLOSED")])
@pytest.mark.parametrize("status", STATUSES)
def test_a_buyer_cancels_what_is_open_and_closes_what_was_accepted(
    status: str, named: tuple[str, str]
) -> None:
    cancel, close = named
    assert vocabulary.may_move(status, cancel) is (status in {"CREATED", "RETURNED", "ACCEPTED"})
    assert vocabulary.may_move(status, close) is (status == "ACCEPTED")


@pytest.mark.parametrize("wanted", ["CREATED", "ACCEPTED", "REJECTED", "RETURNED", "REOPEN", ""])
def test_a_buyer_moves_an_order_nowhere_else(wanted: str) -> None:
    assert not any(vocabulary.may_move(status, wanted) for status in STATUSES)


@pytest.mark.parametrize("status", STATUSES)
def test_final_orders_are_not_edited(status: str) -> None:
    assert vocabulary.may_edit(status) is (status not in {"REJECTED", "CANCELLED", "CLOSED"})


def test_unknown_words_are_recognised_as_unknown() -> None:
    assert vocabulary.is_known_status("CREATED")
    assert not vocabulary.is_known_status("created")
    assert vocabulary.status_after_action("REOPEN") is None
    assert vocabulary.status_after_action("CLOSE") == "CLOSED"


def test_every_error_has_a_status_that_is_an_error() -> None:
    assert set(vocabulary.HTTP_STATUS) == set(ErrorCode)
    assert all(400 <= status <= 503 for status in vocabulary.HTTP_STATUS.values())
