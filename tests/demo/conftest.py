"""The partner simulator alone, and on a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests import shared
from tests.serving import served


@pytest.fixture
def simulator() -> Flask:
    """A simulator without data."""
    return shared.make_simulator("inbound-secret")


@pytest.fixture
def client(simulator: Flask) -> FlaskClient:
    """Its pages and API."""
    return simulator.test_client()


@pytest.fixture
def simulator_url(simulator: Flask) -> Iterator[str]:
    """The URL of the simulator on a real socket."""
    with served(simulator) as url:
        yield url
