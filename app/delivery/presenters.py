"""The sentences about the details of an attempt."""

from __future__ import annotations

from app.delivery.call_result import Detail, DetailCode

_MALFORMED = "The partner's HTTP response is malformed: "
_DETAILS = {
    DetailCode.NONE: "",
    DetailCode.NAME_TIMEOUT: "The DNS lookup of {host} did not finish within {seconds:g} s.",
    DetailCode.CONNECT_TIMEOUT: "Could not connect to {host} within {seconds:g} s.",
    DetailCode.TLS_TIMEOUT: "The TLS handshake with {host} did not finish within {seconds:g} s.",
    DetailCode.RESPONSE_TIMEOUT: "No response within {seconds:g} s.",
    DetailCode.BODY_TIMEOUT: "The response did not finish within {seconds:g} s.",
    DetailCode.LOOKUP_FAILED: "The DNS lookup of {host} failed: {cause}.",
    DetailCode.LOOKUPS_BUSY: "Too many DNS lookups are in progress.",
    DetailCode.ADDRESS_FORBIDDEN: "{addresses} is not an allowed address.",
    DetailCode.HOST_FORBIDDEN: "{host} resolves to {addresses}, which is not an allowed address.",
    DetailCode.NOT_CONNECTED: "Could not connect to {address}: {cause}.",
    DetailCode.CONNECTION_REFUSED: "Could not connect to {address}: {cause}.",
    DetailCode.CONNECTION_FAILED: "The connection failed: {cause}.",
    DetailCode.HANDSHAKE_FAILED: "The TLS handshake with {host} failed: {cause}.",
    DetailCode.HANDSHAKE_CLOSED: "The TLS handshake with {host} failed: the partner closed the connection.",
    DetailCode.TLS_FAILED: "The secure connection failed: {cause}.",
    DetailCode.CERTIFICATES_UNUSABLE: "The configured certificates cannot be used: {cause}.",
    DetailCode.CONNECTION_CLOSED: "The partner closed the connection: {cause}.",
    DetailCode.CLOSED_DURING_REQUEST: "The partner closed the connection during the request.",
    DetailCode.CLOSED_WITHOUT_RESPONSE: "The partner closed the connection without a response.",
    DetailCode.OVERHEAD_TOO_LARGE: f"{_MALFORMED}more than {{kib}} KiB outside its body.",
    DetailCode.CHUNK_SIZE_INVALID: f"{_MALFORMED}a chunk has no valid size.",
    DetailCode.HEADERS_CUT: f"{_MALFORMED}it ends within its headers.",
    DetailCode.BODY_CUT: f"{_MALFORMED}it ends after {{bytes}} bytes.",
    DetailCode.STATUS_INVALID: f"{_MALFORMED}status {{status}}.",
    DetailCode.ENCODING_UNKNOWN: f"{_MALFORMED}an unknown Transfer-Encoding.",
    DetailCode.LENGTH_INVALID: f"{_MALFORMED}the Content-Length is invalid.",
    DetailCode.HEADERS_UNREADABLE: f"{_MALFORMED}its headers cannot be read.",
    DetailCode.START_INVALID: f"{_MALFORMED}it begins with {{quote}}.",
    DetailCode.HEADERS_INVALID: f"{_MALFORMED}invalid headers, {{cause}}.",
    DetailCode.DEADLINE_INVALID: "The deadline of {seconds} s is invalid.",
    DetailCode.URL_INVALID: "The URL cannot be used: {cause}.",
    DetailCode.URL_INCOMPLETE: "The URL must have the form https://host/path.",
    DetailCode.URL_WITH_USER: "The URL contains a username or password.",
    DetailCode.URL_WITH_ZONE: "The host in the URL contains a % sign, as in an IPv6 zone ID.",
    DetailCode.HEADER_CHARACTERS: "The header {name} has characters that cannot be sent.",
    DetailCode.HEADER_RESERVED: "The header {name} cannot be set.",
    DetailCode.INTERNAL_ERROR: "Sending failed with an internal error: {cause}.",
    DetailCode.OUT_OF_RESOURCE: "This server has run out of a resource: {cause}.",
    DetailCode.OAUTH_TIMEOUT: "No token: {url} did not respond in time.",
    DetailCode.OAUTH_UNREACHABLE: "No token: {url} could not be reached.",
    DetailCode.OAUTH_REFUSED: "No token: {url} returned {status}.",
    DetailCode.OAUTH_ERROR: "No token: {url} returned {status}, {error}.",
    DetailCode.OAUTH_MISSING: "No token: {url} returned 200 without an access_token.",
    DetailCode.OAUTH_NOT_BEARER: "No token: {url} returned a token that is not a bearer token.",
    DetailCode.OTHER: "{text}",
}


def detail_sentence(detail: Detail) -> str:
    """What exactly went wrong; empty if there is nothing to add."""
    sentence = _DETAILS[detail.code].format_map(detail.params)
    return f"No token: {sentence}" if sentence and detail.params.get("for_token") else sentence
