"""What administrators set for a supplier: the device tag with which its answers start."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app import clock
from app.accounts.models import Supplier


def set_device_tag(session: Session, b2b_id: str, name: str, value: str, *, by: str) -> None:
    """Set the default device tag of a supplier; an empty name takes the default away. ``by`` did it."""
    supplier = session.get(Supplier, b2b_id)
    if not name:
        if supplier:
            session.delete(supplier)
        return
    if supplier is None:
        supplier = Supplier(b2b_id=b2b_id)
        session.add(supplier)
    supplier.device_tag_name, supplier.device_tag_value = name, value
    supplier.changed_at, supplier.changed_by = clock.now(), by
