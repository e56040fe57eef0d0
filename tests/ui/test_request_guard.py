"""Checks of every request: trusted hosts, size limits, the request ID and the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from app.config import Settings, SettingsError
from app.db import Database
from tests import shared
from tests.people import Browser

pytestmark = pytest.mark.sqlite

INBOUND = "/api/v0/purchase-order/req-send"
SECRET_KEY = "only for these tests"


@pytest.fixture
def make_app(tmp_path: Path, database_url: str) -> Callable[..., Flask]:
    """Creates an app with other settings on the test database."""

    def make_app(**settings: Any) -> Flask:
        return shared.make_app(
            Settings.load(instance=tmp_path, database_url=database_url, secret_key=SECRET_KEY, **settings)
        )

    return make_app


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[str]]]:
    """The lines of the log so far. The handlers of the app are removed afterwards."""

    def log_lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    yield log_lines
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if handler.get_name() != "po-confirm"]


@pytest.mark.parametrize("host", ["..", "evil.example", "localhost/x", "localhost:99999", "a b", "", "[::1"])
def test_request_for_a_foreign_host_is_refused_in_one_line(app: Flask, host: str) -> None:
    for path in ("/login", "/api/v0/docs", INBOUND, "/nothing"):
        response = app.test_client().get(path, headers={"Host": host})
        assert response.status_code == 400, (host, path)
        assert response.mimetype == "text/plain"
        assert response.text.count("\n") == 1


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_request_for_loopback_is_served(app: Flask, host: str) -> None:
    assert app.test_client().get("/login", headers={"Host": host}).status_code == 200


def test_request_for_a_configured_host_is_served(make_app: Callable[..., Flask]) -> None:
    client = make_app(public_url="https://po.example/", trusted_hosts="10.0.0.7, Desk.Example").test_client()
    for host in ("po.example", "10.0.0.7:8000", "desk.example"):
        assert client.get("/login", headers={"Host": host}).status_code == 200
    assert client.get("/login", headers={"Host": "other.example"}).status_code == 400


def test_public_url_wins_over_the_host_header(make_app: Callable[..., Flask]) -> None:
    client = make_app(public_url="https://po.example").test_client()
    assert client.get("/api/v0/openapi.json").get_json()["servers"][0]["url"] == "https://po.example"
    assert "https://po.example" in client.get("/api/v0/docs").text


def test_forwarded_host_without_configured_proxies_is_ignored(app: Flask) -> None:
    response = app.test_client().get("/login", headers={"X-Forwarded-Host": "evil.example"})
    assert response.status_code == 200
    assert "evil.example" not in response.text


def test_https_site_sets_hsts_and_a_host_cookie(make_app: Callable[..., Flask]) -> None:
    response = make_app(public_url="https://po.example").test_client().get("/login")
    assert response.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-po_confirm=")
    assert "Secure" in cookie and "Path=/" in cookie


def test_short_secret_key_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.load(instance=tmp_path, secret_key="hunter2")
    assert "at least 16" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_form_over_its_limit_is_refused(anonymous: Browser) -> None:
    body = io.BytesIO(b"username=" + b"a" * 300_000)
    response = anonymous.post("/login", data=body, content_type="application/x-www-form-urlencoded")
    assert response.status_code == 413
    upload = {"username": (io.BytesIO(b"a" * 300_000), "name.txt")}
    response = anonymous.post("/login", data=upload, content_type="multipart/form-data")
    assert response.status_code == 413
    assert "a smaller file" in response.visible_text


class _Body(io.RawIOBase):
    """A request body that notes how many database connections were in use when it was read."""

    def __init__(self, database: Database, body: bytes) -> None:
        self._pool = database.engine.pool
        self._body = io.BytesIO(body)
        self.connections_in_use: list[int] = []

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._body.seek(offset, whence)

    def tell(self) -> int:
        return self._body.tell()

    def readinto(self, buffer: Any) -> int:
        self.connections_in_use.append(self._pool.checkedout())  # type: ignore[attr-defined]
        return self._body.readinto(buffer)


SIGNED = {"webhook-signature": "v1,a", "webhook-id": "1", "webhook-timestamp": "1"}


@pytest.mark.parametrize(
    ("path", "content_type", "headers"),
    [
        (INBOUND, "application/json", SIGNED),
        (INBOUND, "application/json", {"X-Partner-Key": "wrong"}),
        ("/login", "application/x-www-form-urlencoded", {}),
        ("/logout", "application/x-www-form-urlencoded", {}),
        ("/orders/1/answer", "application/x-www-form-urlencoded", {}),
    ],
)
def test_body_is_read_before_any_transaction(
    asha: Browser, database: Database, path: str, content_type: str, headers: dict[str, str]
) -> None:
    body = _Body(database, b"username=asha&password=x")
    asha.post(path, input_stream=body, content_length=24, content_type=content_type, headers=headers)
    assert body.connections_in_use
    assert set(body.connections_in_use) == {0}


def test_metrics_from_another_network_are_refused(make_app: Callable[..., Flask]) -> None:
    client = make_app().test_client()
    assert client.get("/metrics").status_code == 200
    response = client.get("/metrics", environ_overrides={"REMOTE_ADDR": "10.1.2.3"})
    assert response.status_code == 403
    assert "bharat" not in response.text.lower()


def test_metrics_with_a_token_need_it(make_app: Callable[..., Flask]) -> None:
    client = make_app(metrics_token="a-long-token").test_client()
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer a-long-token"}).status_code == 200


def test_readyz_when_writes_fail_is_503(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_database: Database) -> None:
        raise OperationalError("PRAGMA", None, Exception("database or disk is full"))

    assert app.test_client().get("/readyz").status_code == 200
    monkeypatch.setattr(Database, "probe_write", fail)
    assert app.test_client().get("/readyz").status_code == 503


def test_response_carries_the_request_id_of_the_error_page(asha: Browser) -> None:
    response = asha.get("/nothing", headers={"X-Request-ID": "from-a-stranger"})
    request_id = response.headers["X-Request-ID"]
    assert request_id != "from-a-stranger"
    assert request_id in response.text


def test_request_id_of_a_trusted_proxy_is_kept(make_app: Callable[..., Flask]) -> None:
    client = make_app(trusted_proxies=1).test_client()
    assert client.get("/healthz", headers={"X-Request-ID": "proxy-12345678"}).headers["X-Request-ID"] == (
        "proxy-12345678"
    )
    replaced = client.get("/healthz", headers={"X-Request-ID": "a b\u00e9"}).headers["X-Request-ID"]
    assert "a b" not in replaced


def test_log_text_with_line_breaks_is_one_line(
    make_app: Callable[..., Flask], log_lines: Callable[[], list[str]]
) -> None:
    make_app()
    logging.getLogger("app.test").warning("connection failed\n\tIs the %s running?", "server\r\nforged")
    (line,) = log_lines()
    assert "connection failed Is the server forged running?" in line


def test_log_has_one_line_per_request_and_no_secret(
    make_app: Callable[..., Flask], log_lines: Callable[[], list[str]]
) -> None:
    client = make_app(log="json").test_client()
    client.post("/login", data={"username": "asha", "password": "a-secret-password"})
    client.post(INBOUND, json={"secret": "a-secret-body"}, headers={"X-Partner-Key": "a-secret-key"})
    client.get("/orders?q=a-secret-search")
    lines = [json.loads(line) for line in log_lines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["route"] for line in requests][:1] == ["/login"]
    assert len(requests) == 3
    assert {"request_id", "person", "address", "route", "status", "duration_ms"} <= set(requests[0])
    assert "a-secret" not in json.dumps(lines)
