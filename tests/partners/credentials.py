"""Certificates, and the responses of a token endpoint."""

from __future__ import annotations

import json
from typing import Any

import trustme

from tests.delivery.misbehaving import Connection, Script, response


def pem_of(certificate: trustme.LeafCert) -> str:
    """Return certificate, chain and key as one text."""
    parts = [*certificate.cert_chain_pems, certificate.private_key_pem]
    return "".join(part.bytes().decode() for part in parts)


def gives_tokens(*responses: bytes) -> Script:
    """Respond to each token request with the next of these, then always with the last."""
    remaining = iter(responses)
    last = responses[-1]

    def script(connection: Connection) -> None:
        while True:
            connection.receive()
            connection.send(next(remaining, last))

    return script


def token(text: str, **more: Any) -> bytes:
    """A response of a token endpoint."""
    body = {"access_token": text, "token_type": "Bearer", **more}
    return response(json.dumps(body).encode(), "Content-Type: application/json")
