"""Responding to several orders: a plan, the responses, and undo. Only the background tasks commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Person
from app.accounts.queries import device_tags
from app.audit import trail
from app.config import Settings
from app.db import Database, new_id
from app.db.filters import Scope
from app.network.messages import Invalid
from app.network.vocabulary import DEFAULT_TAG
from app.orders import decisions, queries
from app.orders.models import BulkItem, BulkResponse, BulkSource, BulkStatus, Decision, PurchaseOrder
from app.orders.req_confirm import DecisionInput, req_confirm
from app.tasks import service as task_service
from app.tasks.worker import Postpone, TaskRun, TaskSkipped

KIND = "respond"
BULK_MAX = 200
"""Orders that can be selected one by one."""
ORDERS_MAX = 2000
"""Orders of one bulk response."""
AT_ONCE = 50
"""Up to this many responses are recorded immediately; more are recorded in a background job."""
BATCH = 25
"""Responses that the job records in one transaction."""
PLANS_KEPT = timedelta(days=1)
RESULTS_KEPT = timedelta(days=90)
REMOVED_AT_ONCE = 100


Outcome = tuple[BulkStatus, str]
"""Whether an order accepts its response, with the detail that ``BulkItem.result_detail`` describes."""


def check(
    session: Session, planned: Sequence[tuple[PurchaseOrder, DecisionInput, int | None]]
) -> list[Outcome]:
    """Whether each order accepts its response, for a version or for the current one; nothing is recorded."""
    orders = [order for order, _, _ in planned]
    queries.load_newest_decisions(session, orders)
    tags = _device_tags(session, orders)
    return [
        _check(order, order.newest_decision, _with_device_tag(data, order, tags), version)
        for order, data, version in planned
    ]


def create_plan(
    session: Session, source: BulkSource, by: Person, items: Iterable[BulkItem], **fields: Any
) -> BulkResponse:
    """Store a plan with its orders. Nothing is sent before ``send``."""
    now = clock.now()
    bulk = BulkResponse(
        id=new_id("bulk", now),
        source=source,
        person_id=by.id,
        person_name=by.display_name,
        created_at=now,
        **fields,
    )
    session.add(bulk)
    session.flush()
    for item in items:
        item.bulk_id = bulk.id
        session.add(item)
    session.flush()
    return bulk


def plan_for_update(session: Session, person_id: int, bulk_id: str) -> BulkResponse | None:
    """A plan or result of this person, locked until the transaction ends."""
    return session.scalar(
        select(BulkResponse)
        .where(BulkResponse.id == bulk_id, BulkResponse.person_id == person_id)
        .with_for_update(key_share=True)
    )


def set_response(item: BulkItem, data: DecisionInput) -> None:
    """Store the valid response to an order; its device tag is added when it is recorded."""
    item.data = {"response": data.response, "remarks": data.remarks, "infos": [list(i) for i in data.infos]}


def send(
    session: Session,
    bulk: BulkResponse,
    *,
    scope: Scope,
    by: Person,
    undo_seconds: float,
) -> None:
    """Record the responses of a plan: immediately, or in a background job if there are many."""
    bulk.sent_at = clock.now()
    waiting = waiting_items(session, bulk.id, limit=AT_ONCE + 1)
    if len(waiting) <= AT_ONCE:
        record(session, waiting, scope=scope, by=by, undo_seconds=undo_seconds)
        return
    total = session.scalar(select(func.count()).select_from(_waiting(bulk.id).subquery())) or 0
    actor = trail.current_actor()
    job = task_service.create_job(
        session,
        KIND,
        by=by.display_name,
        person_id=by.id,
        total=total,
        parameters={
            "bulk": bulk.id,
            "scope": None if scope is None else sorted(scope),
            "actor": astuple(actor) if actor else None,
        },
    )
    bulk.job_id = job.id
    session.flush()


def waiting_items(session: Session, bulk_id: str, *, limit: int) -> Sequence[BulkItem]:
    """The next orders that were not processed yet."""
    return session.scalars(_waiting(bulk_id).order_by(BulkItem.number).limit(limit)).all()


def record(
    session: Session,
    items: Sequence[BulkItem],
    *,
    scope: Scope,
    by: Person,
    undo_seconds: float,
) -> None:
    """Record the response for each order that accepts it, and the result for all."""
    ids = [item.order_id for item in items if item.order_id is not None]
    orders = {order.id: order for order in queries.orders_for_update(session, scope, ids)}
    tags = _device_tags(session, orders.values())
    for item in items:
        order = orders.get(item.order_id or 0)
        if order is None:
            item.result = BulkStatus.NOT_FOUND
            continue
        data, last = _with_device_tag(_response_of(item), order, tags), order.last_decision
        item.result, item.result_detail = _check(order, last, data, item.version)
        if item.result is BulkStatus.SAME_RESPONSE and last:
            item.message_id = last.message_id
        elif item.result is BulkStatus.READY:
            decision = decisions.respond(
                session, order, data, version=order.version, by=by, undo_seconds=undo_seconds
            )
            item.result, item.message_id = BulkStatus.RECORDED, decision.message_id
    session.flush()


def run(work: TaskRun, settings: Settings) -> None:
    """Record one batch of responses, then let other tasks run."""
    with work.step() as (session, job):
        bulk = session.get(BulkResponse, job.parameters["bulk"])
        if bulk is None:
            raise TaskSkipped
        items = waiting_items(session, bulk.id, limit=BATCH)
        scope = job.parameters["scope"]
        with trail.acting(trail.Actor(*(job.parameters["actor"] or (bulk.person_name,)))):
            record(
                session,
                items,
                scope=None if scope is None else frozenset(scope),
                by=session.get_one(Person, bulk.person_id),
                undo_seconds=settings.undo_seconds,
            )
        job.done += len(items)
        has_more = len(items) == BATCH
    if has_more:
        raise Postpone


def undo(session: Session, order_ids: Sequence[int], *, scope: Scope, by: Person) -> int:
    """Undo the responses to these orders that can still be undone; returns their number."""
    undone = 0
    for order in queries.orders_for_update(session, scope, order_ids):
        try:
            decisions.undo(session, order, by=by)
        except decisions.TooLate:
            continue
        undone += 1
    return undone


def remove_old(database: Database) -> int:
    """Remove unsent plans and old results; returns their number. The responses themselves stay."""
    now = clock.now()
    old = or_(
        BulkResponse.created_at < now - RESULTS_KEPT,
        (BulkResponse.created_at < now - PLANS_KEPT) & BulkResponse.sent_at.is_(None),
    )
    with database.writing() as session:
        ids = session.scalars(select(BulkResponse.id).where(old).limit(REMOVED_AT_ONCE)).all()
        session.execute(delete(BulkResponse).where(BulkResponse.id.in_(ids)))
        session.commit()
    return len(ids)


def _waiting(bulk_id: str) -> Any:
    return select(BulkItem).where(BulkItem.bulk_id == bulk_id, BulkItem.result.is_(None))


def _response_of(item: BulkItem) -> DecisionInput:
    """The response that ``set_response`` stored."""
    infos = tuple((name, value) for name, value in item.data["infos"])
    return DecisionInput(item.data["response"], item.data["remarks"], infos=infos)


def _device_tags(session: Session, orders: Iterable[PurchaseOrder]) -> Mapping[str, tuple[str, str]]:
    return device_tags(session, list({order.supplier_b2b_id for order in orders}))


def _with_device_tag(
    data: DecisionInput, order: PurchaseOrder, tags: Mapping[str, tuple[str, str]]
) -> DecisionInput:
    """The response with the device tag that is set for the supplier of the order."""
    name, value = tags.get(order.supplier_b2b_id, DEFAULT_TAG)
    return replace(data, device_tag_name=name, device_tag_value=value)


def _check(order: PurchaseOrder, last: Decision | None, data: DecisionInput, version: int | None) -> Outcome:
    try:
        if decisions.check(order, last, data, version=version or order.version):
            return BulkStatus.SAME_RESPONSE, ""
        req_confirm(order, data)
    except decisions.AlreadyDecided as error:
        return BulkStatus.OTHER_RESPONSE, error.decision.person_name
    except decisions.StaleVersion:
        return BulkStatus.CHANGED, ""
    except decisions.CannotRespond as error:
        return BulkStatus.BLOCKED, error.blocker
    except Invalid as error:
        return BulkStatus.INVALID, error.detail
    return BulkStatus.READY, ""
