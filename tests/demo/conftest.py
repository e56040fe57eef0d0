"""The partner simulator alone, and on a real socket."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests import shared
from tests.serving import served


@pytest.fixture
def serve() -> Callable[[Flask], AbstractContextManager[str]]:
    return served


@pytest.fixture
def simulator() -> Flask:
    return shared.make_simulator("inbound-secret")


@pytest.fixture
def client(simulator: Flask) -> FlaskClient:
    return simulator.test_client()


@pytest.fixture
def partner(simulator: Flask) -> Iterator[str]:
    with served(simulator) as url:
        yield url


@pytest.fixture
def confirmation() -> Callable[..., dict[str, Any]]:
    """A valid `req-confirm` body; arguments replace its values."""

    def make(
        object_id: str = "PORwdFcAefAZhnM6Jy8c1rihtYlKNxHddmQ",
        version: int = 1,
        response: str = "ACCEPT",
        remarks: str = "Confirmed",
        new_status: str = "ACCEPTED",
    ) -> dict[str, Any]:
        return {
            "device": {"tag": {"name": "GEOCODE", "value": "18.5204,73.8567"}},
            "b2bIds": {"buyerB2BId": "BUY0005@bbps", "supplierB2BId": "SUPPB2B0001@bbps"},
            "poConfirmation": {
                "objectId": object_id,
                "buyerPONumber": "MAL/2611/45007",
                "supplierResponse": response,
                "supplierRemarks": remarks,
                "objectVersion": {"currentVersion": version, "newVersion": version},
                "poStatusTransition": {"currentStatus": "CREATED", "newStatus": new_status},
            },
            "additionalInfos": [],
        }

    return make
