"""All routes of the app."""

from __future__ import annotations

from flask import Flask

from app.accounts.access import OPEN_ENDPOINTS, PUBLIC, declared_access


def routes_of(app: Flask) -> list[tuple[str, str, str]]:
    """Method, path and access of every route; arguments name rows that do not exist."""
    known = {"name": "req-send", "form": "csv", "kind": "inbound-key"}
    routes = []
    for rule in app.url_map.iter_rules():
        with app.test_request_context():
            access = PUBLIC if rule.endpoint in OPEN_ENDPOINTS else declared_access(rule.endpoint)
            values = {
                argument: 999_999 if argument.endswith("_id") else known.get(argument, "none")
                for argument in rule.arguments
            }
            _, path = rule.build(values) or ("", "")
        methods = sorted({"GET", "POST"}.intersection(rule.methods or ()))
        routes += [(method, path, str(access)) for method in methods]
    return routes
