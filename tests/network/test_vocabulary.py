"""The status transitions and the error codes."""

import pytest

from app.network import vocabulary
from app.network.vocabulary import ErrorCode, Status, SupplierResponse

STATUSES = [*Status, "HELD_BY_CUSTOMS", ""]


@pytest.mark.parametrize("response", SupplierResponse)
@pytest.mark.parametrize("status", STATUSES)
def test_may_respond_only_to_a_created_order(status: str, response: SupplierResponse) -> None:
    assert vocabulary.may_respond(status, response) is (status == "CREATED")


def test_may_respond_with_unknown_response_is_false() -> None:
    assert not vocabulary.may_respond("CREATED", "PERHAPS")
    with pytest.raises(ValueError, match="PERHAPS"):
        vocabulary.status_after("PERHAPS")


@pytest.mark.parametrize(
    ("response", "status"), [("ACCEPT", "ACCEPTED"), ("REJECT", "REJECTED"), ("RETURN", "RETURNED")]
)
def test_each_response_leads_to_its_status(response: str, status: str) -> None:
    assert vocabulary.status_after(response) == status


@pytest.mark.parametrize("named", [("CANCEL", "CLOSE"), ("CANCELLED", "CLOSED")])
@pytest.mark.parametrize("status", STATUSES)
def test_buyer_may_cancel_open_and_close_accepted_orders(status: str, named: tuple[str, str]) -> None:
    cancel, close = named
    assert vocabulary.may_move(status, cancel) is (status in {"CREATED", "RETURNED", "ACCEPTED"})
    assert vocabulary.may_move(status, close) is (status == "ACCEPTED")


@pytest.mark.parametrize("action", ["CREATED", "ACCEPTED", "REJECTED", "RETURNED", "REOPEN", ""])
def test_buyer_may_not_make_other_transitions(action: str) -> None:
    assert not any(vocabulary.may_move(status, action) for status in STATUSES)


@pytest.mark.parametrize("status", STATUSES)
def test_may_edit_final_order_is_false(status: str) -> None:
    assert vocabulary.may_edit(status) is (status not in {"REJECTED", "CANCELLED", "CLOSED"})


def test_unknown_status_and_action_have_no_meaning() -> None:
    assert vocabulary.is_known_status("CREATED")
    assert not vocabulary.is_known_status("created")
    assert vocabulary.status_after_action("REOPEN") is None
    assert vocabulary.status_after_action("CLOSE") == "CLOSED"


def test_every_error_code_has_an_http_error_status() -> None:
    assert set(vocabulary.HTTP_STATUS) == set(ErrorCode)
    assert all(400 <= status <= 503 for status in vocabulary.HTTP_STATUS.values())
