"""The OpenAPI document agrees with the models, and its examples are valid."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter

from app.inbound.handlers import HANDLERS
from app.network.examples import example
from app.network.messages import ReqSend, parse
from app.network.openapi import ACCEPTED, LIFE_CYCLE, REJECTED, openapi
from app.network.reader import dumps, read_json
from app.network.replies import build_reply
from app.network.vocabulary import HTTP_STATUS, ErrorCode, Kind

SERVER = "https://orders.example"
DOCUMENT = read_json(dumps(openapi(SERVER)))
PATHS = DOCUMENT["paths"]
PAISA = Decimal("0.01")
STATUSES = ["200", "400", "401", "409", "413", "415", "422", "429", "503"]


def operation(kind: Kind) -> dict[str, Any]:
    post: dict[str, Any] = PATHS[f"/api/v0/purchase-order/{kind}"]["post"]
    return post


def assert_valid(schema: dict[str, Any], value: object) -> None:
    """Check a value against a schema of the document; jsonschema_rs reads Decimals as text, so as floats."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(as_floats(whole)).validate(as_floats(value))


def as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [as_floats(part) for part in value]
    return float(value) if isinstance(value, Decimal) else value


def test_document_has_the_four_messages_in_life_cycle_order() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["servers"] == [{"url": SERVER}]
    assert [path.rsplit("/", 1)[1] for path in PATHS] == [str(kind) for kind in LIFE_CYCLE]
    assert set(LIFE_CYCLE) == set(HANDLERS)


def test_document_names_the_key_header_of_the_api() -> None:
    scheme = DOCUMENT["components"]["securitySchemes"]["partnerKey"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "X-Partner-Key")
    assert DOCUMENT["security"] == [{"partnerKey": []}]


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_schemas_are_valid_and_references_resolve(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    jsonschema_rs.meta.validate(as_floats(schema))
    for reference in references(schema):
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"]


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [reference for part in value for reference in references(part)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [reference for part in value.values() for reference in references(part)]


@pytest.mark.parametrize("kind", LIFE_CYCLE)
def test_examples_match_models_and_schemas(kind: Kind) -> None:
    content = operation(kind)["requestBody"]["content"]["application/json"]
    value = content["examples"]["example"]["value"]
    assert value == example(kind)
    assert parse(kind, value).wire() == value
    assert_valid(content["schema"], value)


@pytest.mark.parametrize("kind", LIFE_CYCLE)
@pytest.mark.parametrize("status", STATUSES)
def test_response_examples_match_their_schemas(kind: Kind, status: str) -> None:
    assert list(operation(kind)["responses"]) == STATUSES
    content = operation(kind)["responses"][status]["content"]["application/json"]
    value = content["examples"]["example"]["value"]
    assert_valid(content["schema"], value)
    code = value["payload"]["resp"]["errorCd"]
    assert status == str(HTTP_STATUS[ErrorCode(code)] if code else 200)


@pytest.mark.parametrize("kind", LIFE_CYCLE)
def test_every_rejection_matches_its_schema(kind: Kind) -> None:
    unusual: list[Any] = [None, [], example(kind), {"b2bIds": 1, "additionalInfos": [{"name": None}]}]
    for code in ErrorCode:
        for received in unusual:
            reply = build_reply(kind, received, req_msg_id="in_1", code=code, detail="No.", field="a.b[0]")
            TypeAdapter(REJECTED[kind]).validate_json(dumps(reply))


@pytest.mark.parametrize("kind", LIFE_CYCLE)
def test_every_success_matches_its_schema(kind: Kind) -> None:
    reply = read_json(dumps(build_reply(kind, example(kind), req_msg_id="in_1")))
    assert ACCEPTED[kind].model_validate(reply).model_dump(by_alias=True, exclude_unset=True) == reply


@pytest.mark.parametrize(
    ("name", "field", "limits"),
    [
        ("B2BIds", "buyerB2BId", {"type": "string", "minLength": 1, "maxLength": 100}),
        ("PurchaseOrderBody", "buyerPONumber", {"type": "string", "minLength": 1, "maxLength": 50}),
        ("ObjectVersion", "newVersion", {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}),
        ("ItemLine", "quantity", {"type": ["number", "null"], "exclusiveMaximum": 10**15}),
        ("Resp", "reqMsgId", {"type": ["string", "number", "boolean"], "maxLength": 200}),
    ],
)
def test_schemas_have_the_limits_of_the_models(name: str, field: str, limits: dict[str, Any]) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert {**schema["properties"][field], **limits} == schema["properties"][field]
    assert schema["additionalProperties"] is True


@pytest.mark.parametrize("kind", [Kind.REQ_SEND, Kind.REQ_EDIT])
def test_example_order_totals_add_up(kind: Kind) -> None:
    message = parse(kind, example(kind))
    assert isinstance(message, ReqSend)
    order = message.purchase_order
    for line in order.item_lists:
        assert line.quantity and line.unit_price and line.gst_rate and line.item_value_details
        amount = (line.quantity * line.unit_price).quantize(PAISA, ROUND_HALF_UP)
        tax = (amount * line.gst_rate / 100).quantize(PAISA, ROUND_HALF_UP)
        assert (line.total_amt, line.item_value_details[0].value) == (amount, tax)
        assert line.total_item_value == amount + tax
    assert order.po_value_details["totalPOValue"] == sum(
        line.total_item_value or 0 for line in order.item_lists
    )


def test_example_edit_has_the_next_version_and_the_others_keep_it() -> None:
    sent, edited = (parse(kind, example(kind)).purchase_order for kind in (Kind.REQ_SEND, Kind.REQ_EDIT))
    assert edited.object_version.current_version == sent.object_version.new_version
    assert edited.object_version.new_version == sent.object_version.new_version + 1
    closing = parse(Kind.REQ_STATUS_CHANGE, example(Kind.REQ_STATUS_CHANGE)).po_status
    result = parse(Kind.RESP_CONFIRM, example(Kind.RESP_CONFIRM)).po_confirmation
    for part in (closing, result):
        assert part.object_id == sent.object_id
        assert part.object_version.current_version == part.object_version.new_version == 2
