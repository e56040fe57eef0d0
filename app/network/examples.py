"""An example message of each kind: an order, its edit, its cancellation, and a late result.

All concern the same order. `tests/network` validates them with the models.
"""

from decimal import Decimal
from typing import Any

from app.network.vocabulary import Kind

OBJECT_ID = "PORe7Yk2Qm9TzB4nW8cR1vLx6HsDf3GjPaU"
PO_NUMBER = "SAH/2611/45190"
REQ_MSG_ID = "REQw5Hd8Kz2NfX7bQ3vTm9Lc4RyJp6GsWaE"

_IDS = {"buyerB2BId": "BUY0003@bbps", "supplierB2BId": "SUPPB2B0001@bbps"}
_DEVICE = {"tag": {"name": "GEOCODE", "value": "22.3072,73.1812"}}
_INFOS = [{"name": "costCentre", "value": "CC160"}]


def example(kind: Kind) -> dict[str, Any]:
    """The example of a kind; amounts are exact. KeyError for a kind that partners do not send."""
    return _EXAMPLES[kind]


def _line(number: int, article: dict[str, Any], sums: tuple[str, str, str]) -> dict[str, Any]:
    amount, tax, value = map(Decimal, sums)
    return {
        "serialno": str(number),
        **article,
        "totalAmt": amount,
        "assessmentAmount": amount,
        "gstRate": 18,
        "totalItemValue": value,
        "orderLineReference": f"{number * 10:05}",
        "originCountry": "IN",
        "itemValueDetails": [{"type": "IGST", "value": tax}],
        "rates": [{"type": "GST", "value": 18}],
    }


def _bolt_line(quantity: int, sums: tuple[str, str, str]) -> dict[str, Any]:
    article = {
        "productDescription": "Hex bolt M12x80 grade 8.8 zinc plated",
        "isService": "N",
        "hsnCode": "73181500",
        "quantity": quantity,
        "freeQuantity": 0,
        "unit": "NOS",
        "unitPrice": Decimal("14.250"),
    }
    return _line(1, article, sums)


def _sheet_line() -> dict[str, Any]:
    article = {
        "productDescription": "Stainless steel sheet 304, 2 mm",
        "isService": "N",
        "hsnCode": "72193390",
        "quantity": Decimal("412.500"),
        "freeQuantity": 0,
        "unit": "KGS",
        "unitPrice": Decimal("247.500"),
    }
    return _line(2, article, ("102093.75", "18376.88", "120470.63"))


def _party(
    b2b_id: str, names: tuple[str, str], gstin: str, place: dict[str, str], email: str
) -> dict[str, Any]:
    legal_name, trade_name = names
    address = {"type": "REGISTERED", **place, "country": "IN"}
    return {
        "b2bId": b2b_id,
        "gstin": gstin,
        "legalName": legal_name,
        "tradeName": trade_name,
        "stateCode": gstin[:2],
        "address": address,
        "contactNumber": {"type": "MOBILE", "countryCode": "+91", "phoneNumber": "9800000000"},
        "email": email,
    }


_SUPPLIER = _party(
    _IDS["supplierB2BId"],
    ("Triveni Fasteners Private Limited", "Triveni Fasteners"),
    "27AAACT0000A1Z5",
    {
        "addressLine1": "Plot 424, Phase 4",
        "addressLine2": "Industrial Area",
        "city": "Pune",
        "state": "Maharashtra",
        "pincode": "411019",
    },
    "sales@triveni.example",
)
_PLANT = {
    "addressLine1": "Plot 351, Phase 3",
    "addressLine2": "Industrial Area",
    "city": "Vadodara",
    "state": "Gujarat",
    "pincode": "390010",
}
_BUYER = _party(
    _IDS["buyerB2BId"],
    ("Sahyadri Motors Private Limited", "Sahyadri Motors"),
    "24AAACS0000B1Z3",
    _PLANT,
    "purchase@sahyadri.example",
) | {"placeOfSupply": "24"}


def _order(version: int, lines: list[dict[str, Any]], sums: tuple[str, str, str]) -> dict[str, Any]:
    value, tax, total = map(Decimal, sums)
    order = {
        "objectId": OBJECT_ID,
        "buyerPONumber": PO_NUMBER,
        "ts": "2026-11-23T04:44:00Z",
        "orderDate": "2026-11-23",
        "deliveryDate": "2026-12-06",
        "subject": "Rate contract call-off",
        "objectVersion": {"currentVersion": version - 1, "newVersion": version},
        "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "CREATED"},
        "supplierDetails": _SUPPLIER,
        "buyerDetails": _BUYER,
        "addressDetails": [
            {
                "addressType": "SHIP_TO",
                "address": {"type": "OTHER", **_PLANT, "addressLine1": "Gate 3, Stores"},
            }
        ],
        "itemLists": lines,
        "poValueDetails": {"assessmentValue": value, "totalTaxValue": tax, "totalPOValue": total},
        "poInfos": [{"name": "Freight", "value": "Paid"}],
        "paymentMilestones": [{"milestone": "On delivery", "percentage": 100}],
        "shippingTermsDetails": {"incoterm": "DAP", "mode": "ROAD"},
    }
    return {"device": _DEVICE, "b2bIds": _IDS, "purchaseOrder": order, "additionalInfos": _INFOS}


_EXAMPLES: dict[Kind, dict[str, Any]] = {
    Kind.REQ_SEND: _order(
        1,
        [_bolt_line(1000, ("14250.00", "2565.00", "16815.00")), _sheet_line()],
        ("116343.75", "20941.88", "137285.63"),
    ),
    Kind.REQ_EDIT: _order(
        2,
        [_bolt_line(1500, ("21375.00", "3847.50", "25222.50")), _sheet_line()],
        ("123468.75", "22224.38", "145693.13"),
    ),
    Kind.REQ_STATUS_CHANGE: {
        "device": _DEVICE,
        "b2bIds": _IDS,
        "poStatus": {
            "objectId": OBJECT_ID,
            "buyerPONumber": PO_NUMBER,
            "objectVersion": {"currentVersion": 2, "newVersion": 2},
            "buyerAction": "CANCEL",
            "buyerRemarks": "The project is on hold",
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "CANCELLED"},
        },
        "additionalInfos": [],
    },
    Kind.RESP_CONFIRM: {
        "b2bIds": _IDS,
        "resp": {
            "reqMsgId": REQ_MSG_ID,
            "result": "SUCCESS",
            "errorCd": "",
            "errorDtl": "",
            "errorField": "",
        },
        "poConfirmation": {
            "objectId": OBJECT_ID,
            "buyerPONumber": PO_NUMBER,
            "supplierResponse": "ACCEPT",
            "supplierRemarks": "Confirmed",
            "objectVersion": {"currentVersion": 2, "newVersion": 2},
            "poStatusTransition": {"currentStatus": "CREATED", "newStatus": "ACCEPTED"},
        },
        "additionalInfos": [],
    },
}
