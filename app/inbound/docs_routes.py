"""The documentation of the partner API, as OpenAPI and as a page. Both are public."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template

from app.accounts import access
from app.inbound import api_description
from app.inbound.api_description import NO_AUTOMATIC_OPTIONS
from app.network.openapi import openapi
from app.network.reader import dumps
from app.ui import web

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/api/v0/openapi.json", **NO_AUTOMATIC_OPTIONS)
@access.public
def document() -> Response:
    """The OpenAPI document, with the address of this request as its server."""
    return Response(dumps(_document()), content_type="application/json")


@blueprint.get("/api/v0/docs", **NO_AUTOMATIC_OPTIONS)
@access.public
def page() -> str:
    """The documentation page."""
    document = _document()
    return render_template(
        "inbound/api.html",
        document=document,
        server=document["servers"][0]["url"],
        messages=api_description.messages(document),
        objects=api_description.objects(document),
        marked=api_description.marked,
        phrase=api_description.phrase,
    )


def _document() -> dict[str, Any]:
    return openapi(web.public_url())
