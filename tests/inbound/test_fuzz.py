"""Every response of the inbound API is one that the OpenAPI document describes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings

from app.network.openapi import LIFE_CYCLE, openapi
from app.network.paths import API_PATH
from app.network.reader import dumps
from app.network.vocabulary import Kind
from app.partners.models import Partner
from tests.buyer import INBOUND_KEY

KEY = {"X-Partner-Key": INBOUND_KEY}
bounded = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def send_messages(app: Flask, kind: Kind, *, systematically: bool) -> None:
    """Send examples and random messages, valid and with each kind of mistake, as the document describes them.

    Importing Schemathesis and generating its cases takes seconds, and every test process collects all
    tests, so both wait until the test runs.
    """
    import schemathesis
    from schemathesis import Case
    from schemathesis.core.result import Ok
    from schemathesis.pytest.lazy import get_all_tests
    from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

    described = schemathesis.openapi.from_dict(json.loads(dumps(openapi("http://localhost"))))
    described.config.phases.coverage.enabled = systematically
    described.app = app

    def gets_a_documented_response(case: Case[Any]) -> None:
        # Valid data may still be rejected: as a conflict with stored data, or for a NUL character, which a
        # schema cannot exclude. The check of the key sends many requests without one, which are soon limited.
        case.call_and_validate(headers=KEY, excluded_checks=[positive_data_acceptance, ignored_auth])

    (result,) = get_all_tests(
        schema=described.include(path=API_PATH + kind),
        test_func=gets_a_documented_response,
        settings=bounded,
        given_kwargs=None,
    )
    assert isinstance(result, Ok)
    _, send_all = result.ok()
    send_all()


@pytest.mark.sqlite
@pytest.mark.parametrize("kind", LIFE_CYCLE)
def test_any_message_gets_a_documented_response(app: Flask, partner: Partner, kind: Kind) -> None:
    send_messages(app, kind, systematically=True)


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", LIFE_CYCLE)
def test_any_message_gets_a_documented_response_on_postgresql(
    app: Flask, partner: Partner, kind: Kind
) -> None:
    send_messages(app, kind, systematically=False)
