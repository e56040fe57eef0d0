"""Settings of a supplier: the default device tag of its responses."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Supplier
from app.audit import trail
from app.audit.models import AuditAction, AuditObject


def set_device_tag(session: Session, b2b_id: str, name: str, value: str, *, by: str) -> None:
    """Set the default device tag of a supplier; an empty name removes it. ``by`` is the actor's name."""
    supplier = session.get(Supplier, b2b_id)
    before = f"{supplier.device_tag_name} {supplier.device_tag_value}" if supplier else ""
    after = f"{name} {value}" if name else ""
    if before != after:
        trail.record(
            session,
            AuditAction.SUPPLIER_CHANGED,
            AuditObject.SUPPLIER,
            b2b_id,
            name=b2b_id,
            by=by,
            before={"device_tag": before},
            after={"device_tag": after},
        )
    if not name:
        if supplier:
            session.delete(supplier)
        return
    if supplier is None:
        supplier = Supplier(b2b_id=b2b_id)
        session.add(supplier)
    supplier.device_tag_name, supplier.device_tag_value = name, value
    supplier.changed_at, supplier.changed_by = clock.now(), by
