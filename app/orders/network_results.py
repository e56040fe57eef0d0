"""The late result of a response: a parsed `resp-confirm`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.delivery.late_results import Contradicted, LateResult, settle
from app.delivery.models import Message
from app.network.messages import Invalid, Resp, RespConfirm
from app.network.vocabulary import ErrorCode, Result
from app.orders.models import Decision, PurchaseOrder
from app.orders.validation import check_parties


def apply_result(
    session: Session,
    order: PurchaseOrder,
    message: RespConfirm,
    *,
    inbound_id: str,
    received_at: datetime,
) -> None:
    """Apply the partner's late result to the webhook it is about; ``order`` was loaded for update.

    Errors: Invalid, and nothing changes.
    """
    check_parties(order, message.b2b_ids)
    late = _late(message.resp, inbound_id, received_at)
    webhook = find_message(session, order, message)
    if webhook is None:
        raise Invalid(
            ErrorCode.UNKNOWN_OBJECT,
            "poConfirmation.objectId",
            "No response sent for this order matches this result.",
        )
    try:
        settle(session, webhook, late)
    except Contradicted:
        raise Invalid(
            ErrorCode.CONFLICT,
            "resp.result",
            f"This response already has a different result, from {webhook.result_inbound_id}.",
        ) from None
    session.refresh(order, ["status", "delivery"])


def _late(resp: Resp, inbound_id: str, received_at: datetime) -> LateResult:
    result = resp.result.strip().upper()
    if result not in list(Result):
        raise Invalid(
            ErrorCode.FIELD_INVALID,
            "resp.result",
            f"resp.result is {resp.result[:40]!r}, but it must be {' or '.join(Result)}.",
        )
    failed = result == Result.FAILURE
    return LateResult(
        inbound_id=inbound_id,
        at=received_at,
        succeeded=not failed,
        result=resp.result,
        req_msg_id=resp.req_msg_id,
        error_cd=(failed and resp.error_cd) or "",
        error_dtl=(failed and resp.error_dtl) or "",
        error_field=(failed and resp.error_field) or "",
    )


def find_message(session: Session, order: PurchaseOrder, message: RespConfirm) -> Message | None:
    """The webhook that a result is about; None if no attempted one matches.

    That is the webhook for which the partner returned this reqMsgId, else the newest with the echoed
    response to the echoed version.
    """
    echo, req_msg_id = message.po_confirmation, message.resp.req_msg_id
    if req_msg_id:
        attempted = session.scalar(_attempted(order).where(Message.req_msg_id == req_msg_id))
        if attempted:
            return attempted
    return session.scalar(
        _attempted(order).where(
            Decision.version == echo.object_version.new_version,
            Decision.response == echo.supplier_response,
        )
    )


def _attempted(order: PurchaseOrder) -> Select[Message]:
    return (
        select(Message)
        .join(Decision, Decision.message_id == Message.id)
        .where(Decision.order_id == order.id, Message.attempts_made > 0)
        .order_by(Message.decision_number.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )
