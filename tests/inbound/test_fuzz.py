"""Every response of the inbound API is one that the OpenAPI document describes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.inbound.api_routes import KINDS
from app.network.openapi import openapi
from app.network.reader import dumps
from tests.conftest import INBOUND_KEY

KEY = {"X-Partner-Key": INBOUND_KEY}
# Valid data may still be rejected: as a conflict with stored data, or for a NUL character, which a schema
# cannot exclude.
NOT_PROMISED = [positive_data_acceptance]


class CurrentApp:
    """The app of the current test: cases are generated before any app exists."""

    app: Flask

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.app(environ, start_response)


def describe(*, systematically: bool) -> Any:
    """The documented API: examples and random messages, valid and with each kind of mistake."""
    described = schemathesis.openapi.from_dict(json.loads(dumps(openapi("http://localhost", KINDS))))
    described.config.phases.coverage.enabled = systematically
    described.app = current_app
    return described


current_app = CurrentApp()
systematic_cases, random_cases = describe(systematically=True), describe(systematically=False)
bounded = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture
def app_under_test(app: Flask, partner: Any) -> Iterator[None]:
    current_app.app = app
    yield
    del current_app.app


@pytest.mark.sqlite
@systematic_cases.parametrize()
@bounded
def test_any_message_gets_a_documented_response(case: Case, app_under_test: None) -> None:
    case.call_and_validate(headers=KEY, excluded_checks=NOT_PROMISED)


@pytest.mark.postgresql
@random_cases.parametrize()
@bounded
def test_any_message_gets_a_documented_response_on_postgresql(case: Case, app_under_test: None) -> None:
    case.call_and_validate(headers=KEY, excluded_checks=NOT_PROMISED)
