"""The OpenAPI document prepared for the documentation page. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from app.network.openapi import pretty
from app.network.vocabulary import AMOUNT_DECIMALS_MAX

_REFERENCE = "#/components/schemas/"
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "array": "list",
}
_MARKED = re.compile(r"(`|\*\*)(.+?)\1")
_TAGS = {"`": Markup("<code>{}</code>"), "**": Markup("<strong>{}</strong>")}

NO_AUTOMATIC_OPTIONS: dict[str, Any] = {"provide_automatic_options": False}
"""Route options below ``/api/``: no automatic OPTIONS, so that only documented methods are allowed."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: the label of its type, and the object that it links to, if any.

    `anchor` is the place of that object on the page.
    """

    name: str
    type_label: str
    link: str
    anchor: str
    nullable: bool
    required: bool
    limits: str


@dataclass(frozen=True, slots=True)
class Object:
    """An object with its fields, or an enumeration with its values."""

    name: str
    description: str
    fields: list[Field]
    values: list[str]


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One status, when it is sent, and an example of its body."""

    status: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message that partners can send."""

    name: str
    path: str
    summary: str
    description: str
    fields: list[Field]
    curl: str
    responses: list[ApiResponse]


def messages(document: Mapping[str, Any]) -> list[Message]:
    """The messages of the document, in its order."""
    return [_message(document, path, item["post"]) for path, item in document["paths"].items()]


def objects(document: Mapping[str, Any]) -> list[Object]:
    """The objects that the messages consist of, by name, without the messages themselves."""
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    models = message_models(document)
    return [
        Object(name, schema.get("description", ""), _fields(schema, models), list(map(str, _enum(schema))))
        for name, schema in sorted(schemas.items())
        if name not in models
    ]


def marked(text: str) -> Markup:
    """Text with `code`, **strong** and blank lines between paragraphs as HTML. Everything else is escaped."""
    return Markup().join(Markup("<p>{}</p>").format(phrase(part)) for part in text.split("\n\n"))


def phrase(text: str) -> Markup:
    """The same for a single paragraph, without the `<p>`."""
    before, *marks = _MARKED.split(" ".join(text.split()))
    html = escape(before)
    for mark, inner, after in zip(marks[::3], marks[1::3], marks[2::3], strict=True):
        html += _TAGS[mark].format(inner) + escape(after)
    return html


def _message(document: Mapping[str, Any], path: str, operation: Mapping[str, Any]) -> Message:
    content = operation["requestBody"]["content"]["application/json"]
    model = _name(content["schema"]["$ref"])
    return Message(
        name=operation["operationId"],
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        fields=_fields(document["components"]["schemas"][model], message_models(document)),
        curl=operation["x-codeSamples"][0]["source"],
        responses=[_response(status, response) for status, response in operation["responses"].items()],
    )


def _response(status: str, response: Mapping[str, Any]) -> ApiResponse:
    example = response["content"]["application/json"]["examples"]["example"]["value"]
    return ApiResponse(status, response["description"], pretty(example))


def message_models(document: Mapping[str, Any]) -> dict[str, str]:
    """The schema names of whole messages, each with the name of its message."""
    operations = [item["post"] for item in document["paths"].values()]
    contents = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]
        for operation in operations
    }
    return {_name(content["schema"]["$ref"]): message for message, content in contents.items()}


def _fields(schema: Mapping[str, Any], models: Mapping[str, str]) -> list[Field]:
    required = set(schema.get("required", ()))
    fields = []
    for name, part in schema.get("properties", {}).items():
        link = _link(part)
        limits = ", ".join(_limits(part))
        kinds = [kind for alternative in _alternatives(part) for kind in _kinds(alternative)]
        fields.append(
            Field(
                name=name,
                type_label=" or ".join(_WORDS[kind] for kind in kinds if kind != "null") or "anything",
                link=link,
                anchor=models.get(link, link),
                nullable="null" in kinds,
                required=name in required,
                limits=limits,
            )
        )
    return fields


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    alternatives: list[Mapping[str, Any]] = schema.get("anyOf", [schema])
    return alternatives


def _link(schema: Mapping[str, Any]) -> str:
    """The name of the object in a field, directly or in a list."""
    for part in _alternatives(schema):
        reference = part.get("$ref") or part.get("items", {}).get("$ref", "")
        if reference:
            return _name(reference)
    return ""


def _name(reference: str) -> str:
    return reference.removeprefix(_REFERENCE)


def _kinds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield "object"
    kinds = schema.get("type", [])
    yield from [kinds] if isinstance(kinds, str) else kinds


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    if values := _enum(schema):
        yield " or ".join(map(str, values))
    least, most = schema.get("minLength"), schema.get("maxLength")
    if most is not None:
        yield f"{least} to {most} characters" if least else f"at most {most} characters"
    if "pattern" in schema:
        yield 'no " and no \\'
    if "minimum" in schema:
        yield f"from {schema['minimum']} to {schema['maximum']}"
    if "exclusiveMaximum" in schema:
        digits = len(str(schema["exclusiveMaximum"])) - 1
        yield f"up to {digits} digits and {AMOUNT_DECIMALS_MAX} decimals"


def _enum(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))
