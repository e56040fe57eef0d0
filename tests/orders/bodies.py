"""Orders that are not in a database."""

from __future__ import annotations

from typing import Any

from app.network.messages import PurchaseOrderBody
from app.orders.models import PurchaseOrder

ORDER = PurchaseOrder(
    object_id="PORwdFcAefAZhnM6Jy8c1rihtYlKNxHddmQ",
    buyer_po_number="MAL/2611/45007",
    buyer_b2b_id="BUY0005@bbps",
    supplier_b2b_id="SUPPB2B0001@bbps",
    version=1,
    status="CREATED",
)


def body(*items: dict[str, Any], **more: Any) -> PurchaseOrderBody:
    """A parsed order with these items; ``more`` adds or replaces its fields."""
    values = [
        {"serialno": str(place), "orderLineReference": f"000{place}0", **item}
        for place, item in enumerate(items, 1)
    ]
    return PurchaseOrderBody.model_validate(
        {
            "objectId": "PO1",
            "buyerPONumber": "PO1",
            "ts": "2026-11-20T00:00:00Z",
            "orderDate": "2026-11-20",
            "deliveryDate": "2026-12-18",
            "subject": "Bolts",
            "objectVersion": {"currentVersion": 0, "newVersion": 1},
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "CREATED"},
            "itemLists": values,
            **more,
        },
        by_alias=True,
        by_name=False,
    )
