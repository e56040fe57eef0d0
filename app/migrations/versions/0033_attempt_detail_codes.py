"""Store the details of an attempt as a code with parameters, instead of as a sentence."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

PARAMS = sa.JSON().with_variant(JSONB(), "postgresql")
ATTEMPT = sa.table(
    "attempt",
    sa.column("id", sa.Integer()),
    *(sa.column(name, sa.Text()) for name in ("detail", "detail_code")),
    sa.column("detail_params", PARAMS),
)
MESSAGE = sa.table(
    "message",
    *(sa.column(name, sa.Text()) for name in ("id", "note_code")),
    sa.column("note_params", PARAMS),
)
BATCH = 1000
PREFIX = "No token: "
MALFORMED = "The partner's HTTP response is malformed: "
SENTENCES = {
    "name_timeout": "The DNS lookup of {host} did not finish within {seconds} s.",
    "connect_timeout": "No connection to {host} within {seconds} s.",
    "tls_timeout": "The TLS handshake with {host} did not finish within {seconds} s.",
    "response_timeout": "No response within {seconds} s.",
    "body_timeout": "The response was incomplete within {seconds} s.",
    "lookup_failed": "The DNS lookup of {host} failed: {cause}.",
    "lookups_busy": "Too many DNS lookups are in progress.",
    "host_forbidden": "{host} resolves to {addresses}, which is not an allowed address.",
    "address_forbidden": "{addresses} is not an allowed address.",
    "connection_refused": "No connection to {address}: {cause_refused}.",
    "not_connected": "No connection to {address}: {cause}.",
    "connection_failed": "The connection failed: {cause}.",
    "handshake_closed": "The TLS handshake with {host} failed: the partner closed the connection.",
    "handshake_failed": "The TLS handshake with {host} failed: {cause}.",
    "tls_failed": "The secure connection failed: {cause}.",
    "certificates_unusable": "The configured certificates cannot be used: {cause}.",
    "connection_closed": "The partner closed the connection: {cause}.",
    "closed_during_request": "The partner closed the connection during the request.",
    "closed_without_response": "The partner closed the connection without a response.",
    "overhead_too_large": MALFORMED + "more than {kib} KiB outside its body.",
    "chunk_size_invalid": MALFORMED + "a chunk has no valid size.",
    "headers_cut": MALFORMED + "it breaks off in its headers.",
    "body_cut": MALFORMED + "it breaks off after {bytes} bytes.",
    "status_invalid": MALFORMED + "status {status}.",
    "encoding_unknown": MALFORMED + "an unknown Transfer-Encoding.",
    "length_invalid": MALFORMED + "the Content-Length is not one number.",
    "headers_unreadable": MALFORMED + "its headers cannot be read.",
    "start_invalid": MALFORMED + "it begins with {quote}.",
    "headers_invalid": MALFORMED + "its headers: {cause}.",
    "url_invalid": "The URL cannot be used: {cause}.",
    "url_incomplete": "The URL must have the form https://host/path.",
    "url_with_user": "The URL contains a username or password.",
    "url_with_zone": "The host in the URL contains a % sign, such as of a zone id.",
    "header_characters": "The header {name} has characters that cannot be sent.",
    "header_reserved": "The header {name} cannot be set.",
    "internal_error": "Sending failed inside this app: {cause}.",
    "out_of_resource": "This machine is out of a resource: {cause}.",
    "oauth_timeout": PREFIX + "{url} did not respond in time.",
    "oauth_unreachable": PREFIX + "{url} could not be reached.",
    "oauth_refused": PREFIX + "{url} returned {status}.",
    "oauth_error": PREFIX + "{url} returned {status}, {error}.",
    "oauth_missing": PREFIX + "{url} returned 200 without an access_token.",
    "oauth_not_bearer": PREFIX + "{url} returned a token that is not a bearer token.",
}
"""The sentences of the version before. The first that matches counts."""
FORMS = {
    "seconds": r"[\d.]+",
    "kib": r"\d+",
    "bytes": r"\d+",
    "status": r"\d+",
    "host": r"\S+",
    "address": r"\S+",
    "url": r"\S+",
    "cause_refused": r"Connection refused",
}
NUMBERS = {"seconds": float, "kib": int, "bytes": int, "status": int}


def _pattern(sentence: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", sentence)
    texts = [
        f"(?P<{part}>{FORMS.get(part, '.+')})" if place % 2 else re.escape(part)
        for place, part in enumerate(parts)
    ]
    return re.compile("".join(texts), re.DOTALL)


PATTERNS = {code: _pattern(sentence) for code, sentence in SENTENCES.items()}


def upgrade() -> None:
    op.add_column("attempt", sa.Column("detail_code", sa.String(40), nullable=False, server_default=""))
    op.add_column("attempt", sa.Column("detail_params", PARAMS, nullable=False, server_default="{}"))
    _convert_attempts()
    _convert_notes()
    with op.batch_alter_table("attempt") as table:
        table.alter_column("detail_code", server_default=None)
        table.alter_column("detail_params", server_default=None)
        table.drop_column("detail")


def _convert_attempts() -> None:
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(ATTEMPT.c.id, ATTEMPT.c.detail)
        .where(ATTEMPT.c.detail != "", ATTEMPT.c.id > last)
        .order_by(ATTEMPT.c.id)
        .limit(BATCH)
    ).all():
        for row in rows:
            code, params = code_of(row.detail)
            connection.execute(
                sa.update(ATTEMPT)
                .where(ATTEMPT.c.id == row.id)
                .values(detail_code=code, detail_params=params)
            )
        last = rows[-1].id


def _convert_notes() -> None:
    connection = op.get_bind()
    last = ""
    while rows := connection.execute(
        sa.select(MESSAGE.c.id, MESSAGE.c.note_params)
        .where(MESSAGE.c.note_code.in_(["attempt", "failed_resend"]), MESSAGE.c.id > last)
        .order_by(MESSAGE.c.id)
        .limit(BATCH)
    ).all():
        for row in rows:
            note = dict(row.note_params)
            if "detail" not in note:
                continue
            detail = note.pop("detail")
            if detail:
                note["detail"], note["detail_params"] = code_of(detail)
            connection.execute(sa.update(MESSAGE).where(MESSAGE.c.id == row.id).values(note_params=note))
        last = rows[-1].id


def code_of(sentence: str) -> tuple[str, dict[str, Any]]:
    """The code and the parameters of a stored sentence; an unknown one is kept as a text."""
    code, params = _match(sentence)
    if code == "other" and sentence.startswith(PREFIX):
        inner, params = _match(sentence.removeprefix(PREFIX))
        if inner != "other":
            return inner, {**params, "for_token": True}
        params = {"text": sentence}
    return code, params


def _match(sentence: str) -> tuple[str, dict[str, Any]]:
    for code, pattern in PATTERNS.items():
        if match := pattern.fullmatch(sentence):
            values = {name.removesuffix("_refused"): value for name, value in match.groupdict().items()}
            values |= {name: NUMBERS[name](values[name]) for name in NUMBERS if name in values}
            return code, values
    return "other", {"text": sentence}


def downgrade() -> None:
    op.add_column("attempt", sa.Column("detail", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("attempt") as table:
        table.alter_column("detail", server_default=None)
        table.drop_column("detail_params")
        table.drop_column("detail_code")
