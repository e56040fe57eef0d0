"""What an administrator and support fill in about a partner. No field carries a kept secret to the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    FieldList,
    Form,
    FormField,
    HiddenField,
    PasswordField,
    RadioField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.validators import DataRequired, InputRequired, Length, Optional, ValidationError

from app.partners.durations import read_list, read_waits, waits_in_words
from app.partners.models import Partner
from app.partners.service import HEADERS_MAX, REASON_MAX, BadPartner, Details, OAuth
from app.ui.fields import Seconds, Whole, choices, folded

GRACES = {
    "24": "24 hours, then it ends",
    "168": "7 days, then it ends",
    "1": "one hour, then it ends",
    "keep": "until somebody ends it",
    "0": "not at all: it ends now",
}
"""How long a key or secret stays good beside the new one, in hours."""
AUTHORIZATIONS = {
    "none": "Nothing, or a header below",
    "bearer": "Bearer token",
    "oauth": "OAuth client credentials",
}
HEADER = "header:"
"""Before the name of a header, among the secrets that were typed."""
SECRETS = ("bearer_token", "oauth_client_secret", "client_certificate")
"""The fields, besides the values of headers, that no page shows."""


class HeaderForm(Form):
    """One header that goes with every message. An empty value keeps the one that is there."""

    name = StringField("Name", [Optional(), Length(max=100)], filters=[folded])
    value = PasswordField("Value", [Optional(), Length(max=4000)])


class PartnerForm(FlaskForm):
    """A partner. Secrets are written only: empty keeps what is there."""

    name = StringField("Name", [InputRequired("Give it a name."), Length(max=80)], filters=[folded])
    base_url = StringField("Base URL", [InputRequired("Where do messages go?"), Length(max=500)])
    allow_addresses = TextAreaField("Private addresses that may be reached", [Optional(), Length(max=4000)])
    contact = TextAreaField("Contact", [Optional(), Length(max=500)])
    accepts_return = BooleanField("Takes RETURN: suppliers may send an order back for changes")

    authorization = RadioField("Authorization", choices=choices(AUTHORIZATIONS.items()), default="none")
    bearer_token = PasswordField("Bearer token", [Optional(), Length(max=4000)])
    oauth_token_url = StringField("Token URL", [Optional(), Length(max=500)])
    oauth_client_id = StringField("Client id", [Optional(), Length(max=500)])
    oauth_client_secret = PasswordField("Client secret", [Optional(), Length(max=2000)])
    oauth_scope = StringField("Scope", [Optional(), Length(max=500)])
    oauth_in_body = BooleanField("The client secret travels in the form, not in a header")
    # One row more than may be sent: what is too many is said, instead of being left out in silence.
    headers = FieldList(FormField(HeaderForm), min_entries=1, max_entries=HEADERS_MAX + 1)
    client_certificate = TextAreaField("Certificate and key", [Optional(), Length(max=64 * 1024)])
    no_client_certificate = BooleanField("Take the certificate away")
    ca_bundle = TextAreaField("Authorities that may vouch for them", [Optional(), Length(max=64 * 1024)])

    deadline_seconds = Seconds("Deadline in seconds", [InputRequired("Write a number of seconds.")])
    concurrency = Whole("Messages at once", [InputRequired("Write a whole number.")])
    rate_per_minute = Whole("Messages a minute", [Optional()])
    retry_schedule = StringField("Waits after failed tries", [Optional(), Length(max=500)], filters=[folded])
    success_codes = StringField("Success codes", [Optional(), Length(max=200)], filters=[folded])

    untried = BooleanField("Save without trying")
    seen = HiddenField("Seen")
    draft = HiddenField("Draft")

    headers_error = ""
    """What is wrong with the headers as a whole, or with one that the words name."""

    def validate_retry_schedule(self, field: Any) -> None:
        try:
            read_waits(field.data or "")
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def validate_success_codes(self, field: Any) -> None:
        for part in read_list(field.data or ""):
            if not part.removeprefix("-").isdecimal() or len(part) > 10:
                raise ValidationError(f"“{part[:20]}” is no whole number.")

    def validate_authorization(self, field: Any) -> None:
        if field.data == "oauth" and not (self.oauth_token_url.data or "").strip():
            raise ValidationError("OAuth needs a token URL.")

    def show(self, partner: Partner) -> None:
        """Fill in what is kept, all but the secrets."""
        oauth = partner.oauth or {}
        self.process(
            data={
                "name": partner.name,
                "base_url": partner.base_url,
                "allow_addresses": "\n".join(partner.allow_addresses),
                "contact": partner.contact,
                "accepts_return": partner.accepts_return,
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
                "retry_schedule": waits_in_words(partner.retry_schedule),
                "success_codes": ", ".join(str(code) for code in partner.success_codes),
                "seen": version_of(partner),
            }
        )

    def typed(self, draft: Mapping[str, str]) -> dict[str, str]:
        """The secrets that were typed, now or in the form before this one."""
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
        found = {**draft, **{name: value.strip() for name, value in now.items() if value and value.strip()}}
        if self.no_client_certificate.data:
            found.pop("client_certificate", None)
        return found

    def usable(self, typed: Mapping[str, str]) -> dict[str, str]:
        """The typed secrets without those that were refused, which nobody could use by leaving them."""
        refused = {name for name in SECRETS if self._fields[name].errors}
        refused |= {
            HEADER + (row.data["name"] or "").lower() for row in self.headers if row.form.value.errors
        }
        return {name: value for name, value in typed.items() if name not in refused}

    def wrong(self) -> list[tuple[str, str]]:
        """The fields that need another look, as the form has them: where each is, and its label."""
        found = []
        for field in self:
            if isinstance(field, FieldList):
                if self.headers_error or any(row.errors for row in field):
                    found.append(("headers", "Headers"))
            elif field.errors and not isinstance(field, HiddenField):
                found.append((field.id, field.label.text))
        return found

    def details(self, kept: Partner | None, typed: Mapping[str, str]) -> Details:
        """What a valid form says; secrets that nobody typed stay as they are.

        Errors: BadPartner where a secret is missing.
        """
        return Details(
            name=self.name.data or "",
            base_url=self.base_url.data or "",
            allow_addresses=read_list(self.allow_addresses.data or ""),
            contact=self.contact.data or "",
            accepts_return=self.accepts_return.data,
            headers=self._headers(kept, typed),
            bearer_token=self._bearer(kept, typed),
            oauth=self._oauth(kept, typed),
            client_certificate=self._certificate(kept, typed),
            ca_bundle=self.ca_bundle.data or "",
            deadline_seconds=self.deadline_seconds.data or 0,
            concurrency=self.concurrency.data or 0,
            rate_per_minute=self.rate_per_minute.data,
            retry_schedule=read_waits(self.retry_schedule.data or ""),
            success_codes=[int(code) for code in read_list(self.success_codes.data or "")],
        )

    def blame(self, error: BadPartner) -> None:
        """Put all that was wrong beside its fields."""
        for one in (error, *error.also):
            self._blame(one)

    def _blame(self, error: BadPartner) -> None:
        words = str(error)
        words = words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
        field = self._fields.get(error.field)
        if isinstance(field, FieldList):
            self.headers_error = words
            for row in self.headers:
                if error.header and (row.data["name"] or "").strip() == error.header:
                    row.form.value.errors = [words]
                    self.headers_error = ""
        elif field is None:
            self.form_errors.append(words)
        else:
            field.errors = [*field.errors, words]

    def _headers(self, kept: Partner | None, typed: Mapping[str, str]) -> list[tuple[str, str]]:
        known = {name.lower(): value for name, value in kept.headers} if kept else {}
        found = []
        for row in self.headers:
            name = (row.data["name"] or "").strip()
            if not name:
                if row.data["value"]:
                    raise BadPartner("a header has a value but no name", "headers")
                continue
            value = typed.get(HEADER + name.lower()) or known.get(name.lower())
            if not value:
                raise BadPartner(f"the header {name} has no value", "headers", header=name)
            found.append((name, value))
        return found

    def _bearer(self, kept: Partner | None, typed: Mapping[str, str]) -> str:
        if self.authorization.data != "bearer":
            return ""
        token = typed.get("bearer_token") or (kept.bearer_token if kept else "")
        if not token:
            raise BadPartner("give the token", "bearer_token")
        return token

    def _oauth(self, kept: Partner | None, typed: Mapping[str, str]) -> OAuth | None:
        if self.authorization.data != "oauth":
            return None
        before = (kept.oauth or {}) if kept else {}
        return OAuth(
            token_url=self.oauth_token_url.data or "",
            client_id=self.oauth_client_id.data or "",
            client_secret=typed.get("oauth_client_secret") or before.get("client_secret", ""),
            scope=self.oauth_scope.data or "",
            in_body=self.oauth_in_body.data,
        )

    def _certificate(self, kept: Partner | None, typed: Mapping[str, str]) -> str:
        if self.no_client_certificate.data:
            return ""
        return typed.get("client_certificate") or (kept.client_certificate if kept else "")


class PauseForm(FlaskForm):
    """Why a partner's messages are held."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; everybody who looks at a held message reads it."), Length(max=REASON_MAX)],
        filters=[folded],
    )


class ResumeForm(FlaskForm):
    """Why a partner's messages go again."""

    reason = StringField(
        "Reason",
        [DataRequired("Say why; it stands in the audit trail."), Length(max=REASON_MAX)],
        filters=[folded],
    )


class NoteForm(FlaskForm):
    """What everybody should know of a partner just now; empty takes the note away."""

    words = StringField("Note", [Optional(), Length(max=REASON_MAX)], filters=[folded])


class KeyForm(FlaskForm):
    """A new key or secret: given, or made where it is left empty."""

    key = PasswordField("Key", [Optional(), Length(max=1000)])
    grace = SelectField("The old one stays good", choices=choices(GRACES.items()), default="24")

    def given(self) -> str | None:
        """What was given, None where one is to be made."""
        return (self.key.data or "").strip() or None

    def grace_time(self) -> timedelta | None:
        """How long the old ones stay good; None leaves them as they are."""
        return None if self.grace.data == "keep" else timedelta(hours=int(self.grace.data))


class PressForm(FlaskForm):
    """A button that needs nothing but to be meant."""


def version_of(partner: Partner) -> str:
    """By what a form tells whether the partner was changed since it was opened."""
    return partner.changed_at.isoformat() if partner.changed_at else ""
