"""Deletion of old audit entries: only sealed ones, only the oldest, and recorded in the trail itself.

The seals stay, so the chain stays complete. The database refuses to delete entries that no pruning covers.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select

from app import clock
from app.audit import trail
from app.audit.models import AuditAction, AuditEntry, AuditObject, AuditPruning
from app.audit.seals import last_seal
from app.db import Database, advisory_lock


def prune_entries(database: Database, before: datetime, *, batch: int = 1000) -> int:
    """Delete sealed entries older than this time; returns the number. An interrupted run is continued."""
    with database.writing() as session:
        advisory_lock(session, "audit pruning")
        newest = last_seal(session)
        oldest_kept = session.scalar(select(func.min(AuditEntry.id)).where(AuditEntry.at >= before))
        done = session.scalar(select(func.max(AuditPruning.up_to))) or 0
        sealed = newest.last_id if newest else 0
        up_to = sealed if oldest_kept is None else min(sealed, oldest_kept - 1)
        oldest = session.scalar(select(func.min(AuditEntry.id)))
        if up_to > done and oldest is not None and oldest <= up_to:
            entry = trail.record(
                session,
                AuditAction.PRUNED,
                AuditObject.RECORDS,
                "audit",
                name="Audit trail",
                after={"audit_up_to": up_to, "older_than": before.isoformat()},
            )
            session.add(AuditPruning(up_to=up_to, entry_id=entry.id, at=clock.now()))
            done = up_to
        session.commit()
    removed = 0
    while True:
        with database.writing() as session:
            batch_ids = (
                select(AuditEntry.id).where(AuditEntry.id <= done).order_by(AuditEntry.id).limit(batch)
            )
            deleted = session.execute(
                delete(AuditEntry).where(AuditEntry.id.in_(batch_ids)).returning(AuditEntry.id)
            ).all()
            session.commit()
        removed += len(deleted)
        if len(deleted) < batch:
            return removed
