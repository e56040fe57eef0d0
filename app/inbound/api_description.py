"""The OpenAPI document as people read it: messages, fields and answers in words. Pure."""

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


@dataclass(frozen=True, slots=True)
class Field:
    """One field: what it holds in words, and the object that describes it where there is one.

    `anchor` is where on the page that object stands.
    """

    name: str
    words: str
    link: str
    anchor: str
    nullable: bool
    required: bool
    limits: str


@dataclass(frozen=True, slots=True)
class Object:
    """One object of the messages with its fields, or a list of words."""

    name: str
    description: str
    fields: list[Field]
    values: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """One status, when it is given, and an example of its body."""

    status: str
    description: str
    example: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message that may be sent here."""

    name: str
    path: str
    summary: str
    description: str
    model: str
    fields: list[Field]
    curl: str
    answers: list[Answer]


def messages(document: Mapping[str, Any]) -> list[Message]:
    """The messages of the document, in its order."""
    return [_message(document, path, item["post"]) for path, item in document["paths"].items()]


def objects(document: Mapping[str, Any]) -> list[Object]:
    """The objects that the messages are made of, by name; the messages themselves are left out."""
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    told = audit_fields(document)
    return [
        Object(name, schema.get("description", ""), _fields(schema, told), list(map(str, _enum(schema))))
        for name, schema in sorted(schemas.items())
        if name not in told
    ]


def marked(text: str) -> Markup:
    """Text with `code` and **strong** words and blank lines between paragraphs. Everything is escaped."""
    return Markup().join(Markup("<p>{}</p>").format(phrase(part)) for part in text.split("\n\n"))


def phrase(text: str) -> Markup:
    """One paragraph of such text, for where a paragraph may not stand."""
    html = str(escape(" ".join(text.split())))
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html))  # noqa: S704 - escaped above


def _message(document: Mapping[str, Any], path: str, operation: Mapping[str, Any]) -> Message:
    content = operation["requestBody"]["content"]["application/json"]
    model = _name(content["schema"]["$ref"])
    return Message(
        name=operation["operationId"],
        path=path,
        summary=operation["summary"],
        description=operation["description"],
        model=model,
        fields=_fields(document["components"]["schemas"][model], audit_fields(document)),
        curl=operation["x-codeSamples"][0]["source"],
        answers=[_answer(status, response) for status, response in operation["responses"].items()],
    )


def _answer(status: str, response: Mapping[str, Any]) -> Answer:
    example = response["content"]["application/json"]["examples"]["example"]["value"]
    return Answer(status, response["description"], pretty(example))


def audit_fields(document: Mapping[str, Any]) -> dict[str, str]:
    """The models of whole messages, each with the name of its message."""
    operations = [item["post"] for item in document["paths"].values()]
    contents = {one["operationId"]: one["requestBody"]["content"]["application/json"] for one in operations}
    return {_name(content["schema"]["$ref"]): message for message, content in contents.items()}


def _fields(schema: Mapping[str, Any], told: Mapping[str, str]) -> list[Field]:
    required = set(schema.get("required", ()))
    found = []
    for name, part in schema.get("properties", {}).items():
        link = _link(part)
        limits = ", ".join(_limits(part))
        kinds = [kind for one in _alternatives(part) for kind in _kinds(one)]
        found.append(
            Field(
                name=name,
                words=" or ".join(_WORDS[kind] for kind in kinds if kind != "null") or "anything",
                link=link,
                anchor=told.get(link, link),
                nullable="null" in kinds,
                required=name in required,
                limits=limits,
            )
        )
    return found


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = schema.get("anyOf", [schema])
    return found


def _link(schema: Mapping[str, Any]) -> str:
    """The name of the object that a field holds, by itself or in a list."""
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
    if words := _enum(schema):
        yield " or ".join(map(str, words))
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
