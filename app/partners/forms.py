"""Forms of the partner pages. No field sends a saved secret to the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from wtforms import (
    BooleanField,
    FieldList,
    FormField,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from app.partners.durations import read_list, read_waits, waits_text
from app.partners.keys import BadPartner, raise_all
from app.partners.models import Partner
from app.partners.service import HEADERS_MAX, REASON_MAX, Details, OAuth
from app.ui.fields import Rows, Seconds, Whole, choices, folded, reason_field
from app.ui.forms import FlaskForm, Form

GRACES = {
    "24": "in 24 hours",
    "168": "in 7 days",
    "1": "in one hour",
    "keep": "when revoked",
    "0": "now",
}
"""When the old key or secret expires after a rotation, by hours."""
AUTHORIZATIONS = {
    "none": "None or custom header",
    "bearer": "Bearer token",
    "oauth": "OAuth client credentials",
}
HEADER = "header:"
"""Prefix of a header name among the entered secrets."""
SECRETS = ("bearer_token", "oauth_client_secret", "client_certificate")
"""Secret fields, besides the values of headers."""
_NEW_HOST = "the URL has a new host"


class HeaderForm(Form):
    """One custom header. A blank value keeps the saved one."""

    name = StringField("Name", [Optional(), Length(max=100)], filters=[folded])
    value = PasswordField("Value", [Optional(), Length(max=4000)])


class PartnerForm(FlaskForm):
    """Settings of a partner. Secrets can only be written; blank keeps the saved one."""

    name = StringField("Name", [InputRequired("Enter a name."), Length(max=80)], filters=[folded])
    base_url = StringField("Base URL", [InputRequired("Enter a URL."), Length(max=500)])
    allow_addresses = TextAreaField("Allowed private addresses", [Optional(), Length(max=4000)])
    contact = TextAreaField("Technical contact", [Optional(), Length(max=500)])
    accepts_return = BooleanField("Supports “Return for changes”")
    line_responses = BooleanField("Supports responses to single lines", default=True)

    authorization = RadioField("Authorization", choices=choices(AUTHORIZATIONS.items()), default="none")
    bearer_token = PasswordField("Bearer token", [Optional(), Length(max=4000)])
    oauth_token_url = StringField("Token URL", [Optional(), Length(max=500)])
    oauth_client_id = StringField("Client ID", [Optional(), Length(max=500)])
    oauth_client_secret = PasswordField("Client secret", [Optional(), Length(max=2000)])
    oauth_scope = StringField("Scope", [Optional(), Length(max=500)])
    oauth_in_body = BooleanField("Send the client secret in the body instead of a header")
    # One row more than allowed, so that too many are reported instead of ignored.
    headers = Rows(FormField(HeaderForm), min_entries=1, max_entries=HEADERS_MAX + 1)
    client_certificate = TextAreaField("Certificate and key", [Optional(), Length(max=64 * 1024)])
    no_client_certificate = BooleanField("Remove the certificate")
    ca_bundle = TextAreaField("Trusted CA certificates", [Optional(), Length(max=64 * 1024)])

    deadline_seconds = Seconds("Timeout in seconds", [InputRequired("Enter a number of seconds.")])
    concurrency = Whole("Concurrency", [InputRequired("Enter a whole number.")])
    rate_per_minute = Whole("Rate limit (per minute)", [Optional()])
    retry_schedule = StringField("Retry schedule", [Optional(), Length(max=500)], filters=[folded])
    success_codes = StringField("Success codes", [Optional(), Length(max=200)], filters=[folded])

    signature_required = BooleanField("Require a signature")
    allow_plain_http = BooleanField("Send secrets over unencrypted HTTP")

    untested = BooleanField("Save without testing")
    version = HiddenField("Version")
    draft = HiddenField("Draft")

    headers_error = ""
    """The error of the headers as a whole. The error of a single header is at its row."""

    def validate_retry_schedule(self, field: Any) -> None:
        try:
            read_waits(field.data or "")
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def validate_success_codes(self, field: Any) -> None:
        for part in read_list(field.data or ""):
            if not part.removeprefix("-").isdecimal() or len(part) > 10:
                raise ValidationError(f"Enter whole numbers, not “{part[:20]}”.")

    def validate_authorization(self, field: Any) -> None:
        if field.data == "oauth" and not (self.oauth_token_url.data or "").strip():
            raise ValidationError("Enter a token URL.")

    def show(self, partner: Partner) -> None:
        """Fill in the saved values, without secrets."""
        oauth = partner.oauth or {}
        self.process(
            data={
                "name": partner.name,
                "base_url": partner.base_url,
                "allow_addresses": "\n".join(partner.allow_addresses),
                "contact": partner.contact,
                "accepts_return": partner.accepts_return,
                "line_responses": partner.accepts_line_responses,
                "signature_required": partner.signature_required,
                "authorization": "bearer" if partner.bearer_token else "oauth" if oauth else "none",
                "oauth_token_url": oauth.get("token_url", ""),
                "oauth_client_id": oauth.get("client_id", ""),
                "oauth_scope": oauth.get("scope", ""),
                "oauth_in_body": oauth.get("in_body", False),
                "headers": [{"name": name} for name, _ in partner.headers],
                "ca_bundle": partner.ca_bundle,
                "deadline_seconds": partner.deadline_seconds,
                "concurrency": partner.concurrency,
                "rate_per_minute": partner.rate_per_minute,
                "retry_schedule": waits_text(partner.retry_schedule),
                "success_codes": ", ".join(str(code) for code in partner.success_codes),
                "version": version_of(partner),
            }
        )

    def entered_secrets(self, draft: Mapping[str, str]) -> dict[str, str]:
        """The secrets entered now or in the previous form."""
        now = {
            "bearer_token": self.bearer_token.data,
            "oauth_client_secret": self.oauth_client_secret.data,
            "client_certificate": self.client_certificate.data,
            **{
                HEADER + (row.data["name"] or "").lower(): row.data["value"]
                for row in self.headers
                if row.data["name"]
            },
        }
        secrets = {**draft, **{name: value.strip() for name, value in now.items() if value and value.strip()}}
        if self.no_client_certificate.data:
            secrets.pop("client_certificate", None)
        return secrets

    def without_refused(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The entered secrets without the invalid ones, which must be entered again."""
        refused = {name for name in SECRETS if self._fields[name].errors}
        refused |= {
            HEADER + (row.data["name"] or "").lower() for row in self.headers if row.form.value.errors
        }
        return {name: value for name, value in secrets.items() if name not in refused}

    def invalid_fields(self) -> list[tuple[str, str]]:
        """The id and the label of each field with an error, in the order of the form."""
        fields = []
        for field in self:
            if isinstance(field, FieldList):
                if self.headers_error or any(row.errors for row in field):
                    fields.append(("headers", "Headers"))
            elif field.errors and not isinstance(field, HiddenField):
                fields.append((field.id, field.label.text))
        return fields

    def has_certificate_input(self) -> bool:
        """Whether the section of certificates holds input or an error."""
        return bool(self.client_certificate.errors or self.ca_bundle.errors or self.ca_bundle.data)

    def details(self, saved: Partner | None, secrets: Mapping[str, str]) -> Details:
        """The settings of a valid form; blank secrets keep the saved ones.

        Errors: BadPartner if a secret is missing.
        """
        if saved:
            raise_all(list(self._secrets_of_another_host(saved, secrets)))
        return Details(
            name=self.name.data or "",
            base_url=self.base_url.data or "",
            allow_addresses=read_list(self.allow_addresses.data or ""),
            contact=self.contact.data or "",
            accepts_return=self.accepts_return.data,
            accepts_line_responses=self.line_responses.data,
            signature_required=self.signature_required.data,
            allow_plain_http=self.allow_plain_http.data,
            headers=self._headers(saved, secrets),
            bearer_token=self._bearer(saved, secrets),
            oauth=self._oauth(saved, secrets),
            client_certificate=self._certificate(saved, secrets),
            ca_bundle=self.ca_bundle.data or "",
            deadline_seconds=self.deadline_seconds.data or 0,
            concurrency=self.concurrency.data or 0,
            rate_per_minute=self.rate_per_minute.data,
            retry_schedule=read_waits(self.retry_schedule.data or ""),
            success_codes=[int(code) for code in read_list(self.success_codes.data or "")],
        )

    def add_errors(self, error: BadPartner) -> None:
        """Add each error to its field."""
        for part in (error, *error.other_errors):
            self._add_error(part)

    def _add_error(self, error: BadPartner) -> None:
        text = error.sentence
        field = self._fields.get(error.field)
        if isinstance(field, FieldList):
            self.headers_error = text
            for row in self.headers:
                if error.header and (row.data["name"] or "").strip() == error.header:
                    row.form.value.errors = [text]
                    self.headers_error = ""
        elif field is None:
            self.form_errors.append(text)
        else:
            field.errors = [*field.errors, text]

    def _secrets_of_another_host(self, saved: Partner, secrets: Mapping[str, str]) -> Iterator[BadPartner]:
        """Errors for saved secrets that a new host would receive: a stolen session could read them there."""
        is_moved = _is_other_host(saved.base_url, self.base_url.data or "")
        if is_moved:
            kept = {name.lower() for name, _ in saved.headers if HEADER + name.lower() not in secrets}
            for row in self.headers:
                name = (row.data["name"] or "").strip()
                if name.lower() in kept:
                    yield BadPartner(f"enter the value of {name} again: {_NEW_HOST}", "headers", header=name)
        method, oauth = self.authorization.data, saved.oauth or {}
        if method == "bearer" and is_moved and saved.bearer_token and "bearer_token" not in secrets:
            yield BadPartner(f"enter the token again: {_NEW_HOST}", "bearer_token")
        is_moved |= _is_other_host(oauth.get("token_url", ""), self.oauth_token_url.data or "")
        if method == "oauth" and is_moved and oauth and "oauth_client_secret" not in secrets:
            yield BadPartner(f"enter the client secret again: {_NEW_HOST}", "oauth_client_secret")

    def _headers(self, saved: Partner | None, secrets: Mapping[str, str]) -> list[tuple[str, str]]:
        known = {name.lower(): value for name, value in saved.headers} if saved else {}
        headers = []
        for row in self.headers:
            name = (row.data["name"] or "").strip()
            if not name:
                if row.data["value"]:
                    raise BadPartner("enter a name for each header", "headers")
                continue
            value = secrets.get(HEADER + name.lower()) or known.get(name.lower())
            if not value:
                raise BadPartner(f"enter a value for the header {name}", "headers", header=name)
            headers.append((name, value))
        return headers

    def _bearer(self, saved: Partner | None, secrets: Mapping[str, str]) -> str:
        if self.authorization.data != "bearer":
            return ""
        token = secrets.get("bearer_token") or (saved.bearer_token if saved else "")
        if not token:
            raise BadPartner("enter the token", "bearer_token")
        return token

    def _oauth(self, saved: Partner | None, secrets: Mapping[str, str]) -> OAuth | None:
        if self.authorization.data != "oauth":
            return None
        before = (saved.oauth or {}) if saved else {}
        return OAuth(
            token_url=self.oauth_token_url.data or "",
            client_id=self.oauth_client_id.data or "",
            client_secret=secrets.get("oauth_client_secret") or before.get("client_secret", ""),
            scope=self.oauth_scope.data or "",
            in_body=self.oauth_in_body.data,
        )

    def _certificate(self, saved: Partner | None, secrets: Mapping[str, str]) -> str:
        if self.no_client_certificate.data:
            return ""
        return secrets.get("client_certificate") or (saved.client_certificate if saved else "")


class ReasonForm(FlaskForm):
    """Why a partner is paused or resumed."""

    reason = reason_field(REASON_MAX)


class AnnouncementForm(FlaskForm):
    """An announcement about a partner; blank removes it."""

    text = StringField("Message", [Optional(), Length(max=REASON_MAX)], filters=[folded])


class KeyForm(FlaskForm):
    """A new key or secret: entered, or generated if blank."""

    key = PasswordField("Key", [Optional(), Length(max=1000)])
    grace = SelectField("Old one expires", choices=choices(GRACES.items()), default="24")

    def entered_key(self) -> str | None:
        """The entered key, None to generate one."""
        return (self.key.data or "").strip() or None

    def grace_time(self) -> timedelta | None:
        """How long until the old ones expire; None leaves them as they are."""
        return None if self.grace.data == "keep" else timedelta(hours=int(self.grace.data))


def _is_other_host(saved_url: str, url: str) -> bool:
    """Whether a URL has another host than the saved one. One without a host is refused elsewhere."""
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError:
        return False
    return bool(host) and host != urlsplit(saved_url).hostname


def version_of(partner: Partner) -> str:
    """The version of a partner, by which a form detects changes made since it was opened."""
    return partner.changed_at.isoformat() if partner.changed_at else ""
