"""Sends orders and their updates to PO Confirm, and records the results."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random, SystemRandom
from typing import Any

import requests

from app.demo.orders import new_order
from app.demo.payloads import (
    REFUSAL,
    Change,
    OutgoingMessage,
    edit_message,
    late_result_message,
    status_change_message,
)
from app.demo.state import AcceptedResponse, Order, Sent, SimulatorState
from app.network.paths import API_PATH, KEY_HEADER
from app.network.reader import dumps
from app.network.replies import OBJECT_NAMES, read_reply
from app.network.vocabulary import BuyerAction, Kind, Result, may_edit, may_move

TIMEOUT = (5.0, 30.0)
"""Seconds to connect to PO Confirm, and to wait for its response."""
_REPLY_MAX = 2_000


class NoMatch(LookupError):
    """No order or response matches; the text says which."""


class Buyer:
    """Sends the messages of a buyer."""

    def __init__(
        self, state: SimulatorState, app_url: str, inbound_key: str, rng: Random | None = None
    ) -> None:
        self._state = state
        self._app_url = app_url
        self._key = inbound_key
        self._rng = rng or SystemRandom()
        # Two parallel edits of one order would both create the same version.
        self._lock = threading.Lock()

    def send_orders(self, count: int) -> list[Sent]:
        """Send new orders; stops if PO Confirm does not respond."""
        sent: list[Sent] = []
        with self._session() as session:
            while len(sent) < count and (not sent or sent[-1].status is not None):
                body = new_order(self._rng, datetime.now(UTC))
                sent.append(self._send(OutgoingMessage(Kind.REQ_SEND, body, "New order"), session))
                if sent[-1].accepted:
                    self._state.remember_order(body)
        return sent

    def send_edit(self, object_id: str = "", change: Change = Change.QUANTITY) -> Sent:
        """Send the next version of an order, or of the newest that may be edited. Raises NoMatch."""
        with self._lock:
            order = self._order(object_id, lambda known: may_edit(known.status), "edited")
            message = edit_message(
                order.body, version=order.version, status=order.status, change=change, rng=self._rng
            )
            sent = self._send_single(message)
            if sent.accepted:
                self._state.remember_order(message.body)
            return sent

    def send_status_change(
        self, object_id: str = "", action: BuyerAction = BuyerAction.CANCEL, remarks: str = ""
    ) -> Sent:
        """Cancel or close an order, or the newest for which it is allowed. Raises NoMatch."""
        verb = "canceled" if action is BuyerAction.CANCEL else "closed"
        with self._lock:
            order = self._order(object_id, lambda known: may_move(known.status, action), verb)
            message = status_change_message(
                order.body,
                version=order.version,
                status=order.status,
                action=action,
                remarks=remarks,
                rng=self._rng,
            )
            sent = self._send_single(message)
            if sent.accepted:
                new_status = message.body["poStatus"]["poStatusTransition"]["newStatus"]
                self._state.set_order_status(order.object_id, new_status)
            return sent

    def send_result(
        self,
        object_id: str = "",
        result: Result = Result.SUCCESS,
        error: tuple[str, str, str] = REFUSAL,
    ) -> Sent:
        """Send a late result for the response to an order, or for the newest response. Raises NoMatch.

        `error` is errorCd, errorDtl and errorField of a FAILURE.
        """
        with self._lock:
            response = self._response(object_id)
            # Recorded before it is sent: a new response may arrive immediately after a failure.
            self._state.record_result(response, result)
            return self._send_single(
                late_result_message(
                    response.message, req_msg_id=response.req_msg_id, result=result, error=error
                )
            )

    def _order(self, object_id: str, matches: Callable[[Order], bool], verb: str) -> Order:
        if object_id:
            order = self._state.order(object_id)
            if order is None:
                raise NoMatch(f"No order has the objectId {object_id}.")
            return order
        order = self._state.newest_order(matches)
        if order is None:
            raise NoMatch(f"No order can be {verb}.")
        return order

    def _response(self, object_id: str) -> AcceptedResponse:
        if object_id:
            response = self._state.response_to(object_id)
        else:
            newest = self._state.responses()[::-1]
            without_result = [response for response in newest if response.result is None]
            response = next(iter(without_result or newest), None)
        if response is None:
            about = f"the order {object_id}" if object_id else "any order"
            raise NoMatch(f"No response to {about} was received.")
        return response

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.headers[KEY_HEADER] = self._key
        return session

    def _send_single(self, message: OutgoingMessage) -> Sent:
        with self._session() as session:
            return self._send(message, session)

    def _send(self, message: OutgoingMessage, session: requests.Session) -> Sent:
        status, accepted, reply = self._post(message, session)
        about = message.body[OBJECT_NAMES[message.kind]]
        sent = Sent(
            number=self._state.next_number(),
            kind=message.kind,
            object_id=about["objectId"],
            po_number=about["buyerPONumber"],
            summary=message.summary,
            body=message.body,
            status=status,
            accepted=accepted,
            reply_body=reply,
        )
        self._state.add_sent(sent)
        return sent

    def _post(self, message: OutgoingMessage, session: requests.Session) -> tuple[int | None, bool, Any]:
        try:
            response = session.post(
                self._app_url + API_PATH + message.kind,
                data=dumps(message.body),
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            return None, False, f"No response: {type(error).__name__}"
        reply = read_reply(response.content)
        accepted = response.status_code == 200 and reply is not None and reply.response_code == 0
        body = reply.document if reply else response.text[:_REPLY_MAX]
        return response.status_code, accepted, body
