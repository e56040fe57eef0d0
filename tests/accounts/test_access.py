"""Access to every route for every role and for anonymous requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from app.accounts.access import OPEN_ENDPOINTS, PUBLIC, actor
from app.accounts.models import Person, Role
from app.accounts.permissions import ROLE_PERMISSIONS, Permission
from app.audit.trail import Actor
from tests.people import USERS, Browser
from tests.routes import routes_of

pytestmark = pytest.mark.sqlite

TABLE = {
    # permission: who has it
    Permission.VIEW: {"asha", "omar", "meera", "ravi", "admin"},
    Permission.VIEW_ALL: {"meera", "ravi", "admin"},
    Permission.RESPOND: {"asha", "omar"},
    Permission.ASSIGN: {"asha", "omar", "meera", "ravi", "admin"},
    Permission.EXPORT: {"meera"},
    Permission.VIEW_AUDIT_TRAIL: {"meera"},
    Permission.RESEND: {"ravi", "admin"},
    Permission.RESEND_DELIVERED: {"admin"},
    Permission.CANCEL: {"ravi", "admin"},
    Permission.PAUSE_PARTNERS: {"ravi", "admin"},
    Permission.TRIAGE: {"ravi", "admin"},
    Permission.SEND_TEST: {"ravi", "admin"},
    Permission.MANAGE_PARTNERS: {"admin"},
    Permission.MANAGE_USERS: {"admin"},
}


def test_roles_have_exactly_the_agreed_permissions() -> None:
    assert set(TABLE) == set(Permission)
    for permission, names in TABLE.items():
        assert {
            name for name, (_, role, _) in USERS.items() if permission in ROLE_PERMISSIONS[role]
        } == names, permission
    assert set(ROLE_PERMISSIONS) == set(Role)


def test_every_route_declares_a_permission(app: Flask) -> None:
    undeclared = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in OPEN_ENDPOINTS
        and getattr(app.view_functions[rule.endpoint], "access", None) not in {PUBLIC, *Permission}
    }
    assert not undeclared


def test_view_without_a_permission_is_closed(app: Flask, browser_of: Callable[[str], Browser]) -> None:
    app.view_functions["orders.inbox"] = lambda: "open"
    assert browser_of("admin").get("/orders").status_code == 403


def test_actor_is_the_person_with_address_and_browser(app: Flask) -> None:
    person = Person(id=5, username="asha", full_name="Asha Kulkarni", role=Role.SUPPLIER)
    environ = {"REMOTE_ADDR": "192.0.2.1", "HTTP_USER_AGENT": "Firefox"}
    with app.test_request_context(environ_overrides=environ):
        assert actor(person) == Actor(person.display_name, 5, "supplier", "192.0.2.1", "Firefox")
        assert actor(None) == Actor(address="192.0.2.1", user_agent="Firefox")


REDIRECTING = ("/", "/views/start", "/orders/answers/all")
"""Routes that redirect even without input."""


def test_anonymous_request_is_redirected_to_sign_in(app: Flask, anonymous: Browser) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    for method, path, access in routes_of(app):
        response = anonymous.open(path, method=method)
        if access == PUBLIC:
            assert response.status_code != 303 or path == "/login", path
            continue
        assert (response.status_code, response.location.split("?")[0]) == (303, "/login"), (method, path)
        fragment = anonymous.open(path, method=method, headers={"HX-Request": "true"})
        assert fragment.status_code == 401, (method, path)
        assert fragment.headers["HX-Redirect"].startswith("/login")


@pytest.mark.parametrize("name", sorted(USERS))
def test_role_may_open_exactly_the_permitted_routes(
    app: Flask, browser_of: Callable[[str], Browser], name: str
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    browser = browser_of(name)
    for method, path, access in routes_of(app):
        if access == PUBLIC or path == "/logout":
            continue
        response = browser.open(path, method=method)
        if name in TABLE[Permission(access)]:
            assert response.status_code not in (303, 401, 403) or path in REDIRECTING, (method, path)
            assert response.status_code < 500, (method, path)
        else:
            assert response.status_code == 403, (method, path)


def test_post_without_csrf_token_is_refused(asha: Browser, order_id: int) -> None:
    response = asha.send(f"/orders/{order_id}/answer", {"supplier_response": "ACCEPT", "version": 1})
    assert response.status_code == 422
    assert "Nothing was saved" in response.visible_text
