"""What all lists have in common."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from app import clock
from app.accounts.models import Person
from app.audit.listing import AUDIT
from app.audit.queries import AuditFilter
from app.db import Database
from app.inbound.listing import INBOUND
from app.inbound.queries import InboundFilter
from app.orders.inbox_queries import SORTS, OrderFilter
from app.orders.listing import ORDERS
from app.ui.listing import Listing
from app.webhooks.listing import WEBHOOKS
from app.webhooks.queries import MessageFilter
from tests.fixture_types import Arrive, Confirm, ConfirmOrders, Deliver
from tests.people import Browser, fields_of

pytestmark = pytest.mark.sqlite

LISTS = {"/orders": ORDERS, "/webhooks": WEBHOOKS, "/inbound": INBOUND, "/audit": AUDIT}
FILTERS = {
    "/orders": OrderFilter,
    "/webhooks": MessageFilter,
    "/inbound": InboundFilter,
    "/audit": AuditFilter,
}
HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize("path", LISTS)
def test_form_and_query_have_the_same_filters(path: str) -> None:
    names = [field.name for field in fields(FILTERS[path])]
    assert sorted(field.short_name for field in LISTS[path].form()) == sorted(names)


@pytest.mark.parametrize("listing", LISTS.values(), ids=lambda listing: listing.name)
def test_filters_and_sorts_of_the_declaration_exist(listing: Listing) -> None:
    form = listing.form()
    assert all(name in form for name in listing.bar)
    assert all(column.sort in SORTS for column in listing.columns if column.sort)


def test_bar_accepts_filters_of_every_type(
    meera: Browser, arrive: Arrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(1)
    names = tuple(field.short_name for field in ORDERS.form() if field.short_name not in ("q", "after"))
    monkeypatch.setattr("app.orders.routes.ORDERS", replace(ORDERS, bar=names))
    page = meera.get("/orders?received_since=2026-01-02T10:00")
    assert page.one("#received_since")["value"] == "2026-01-02T10:00"
    assert all(page.one(f"#{name}") for name in ("buyer", "deliver_by_since", "amount_min", "due"))


@pytest.mark.parametrize("path", LISTS)
def test_list_has_filters_columns_views_new_rows_and_exports(
    meera: Browser, confirm_orders: ConfirmOrders, path: str, deliver: Deliver
) -> None:
    confirm_orders(2)
    deliver()
    page = meera.get(path)
    listing = LISTS[path]
    assert page.one(f"#{listing.name}-list table")
    assert str(page.one("#new-rows")["data-hx-get"]).startswith(f"{path}/newer")
    assert {link["href"] for link in page.page.select(".export a")} >= {f"/exports/{listing.name}.csv"}
    assert page.one(".list-menu form")["action"] == f"/views/columns/{listing.name}"
    name = "who" if path == "/audit" else "partner"
    filtered = meera.get(f"{path}?{name}=Nobody")
    assert filtered.one(".filter-chip bdi").get_text() == "Nobody"
    assert filtered.one(".save-view form")
    assert str(filtered.page.select(".export a")[0]["href"]).endswith(f"?{name}=Nobody")
    fragment = meera.get(path, headers=HTMX)
    for name in (f"{listing.name}-head", "newer", "views"):
        assert fragment.one(f"#{name}")["data-hx-swap-oob"] == "true"
    assert meera.get(f"{path}/newer?than=x%27", headers=HTMX).status_code == 200


def test_open_audit_trail_learns_the_number_of_new_entries(meera: Browser, ravi: Browser) -> None:
    url = str(meera.get("/audit?action=exported").one("#new-rows")["data-hx-get"])
    assert not meera.get(url, headers=HTMX).page.select("a")
    assert meera.get("/exports/orders.csv").status_code == 200
    assert meera.get(url, headers=HTMX).visible_text == "1 new entry: show"
    assert ravi.get("/audit/newer").status_code == 403


@pytest.mark.parametrize("path", LISTS)
def test_chosen_columns_and_density_stay(meera: Browser, arrive: Arrive, path: str) -> None:
    arrive(1)
    listing = LISTS[path]
    action = f"/views/columns/{listing.name}"
    optional = [column.name for column in listing.columns if column.is_optional]
    chosen = optional[::2]
    form = meera.fill(f"{path}?q=a", action)
    assert form["query"] == "q=a"
    saved = meera.send(action, {**form, "columns": chosen, "density": "compact"})
    assert (saved.status_code, saved.location) == (303, f"{path}?q=a")
    again = meera.get(path)
    boxes = again.page.select("input[name=columns][checked]")
    assert [box["value"] for box in boxes] == chosen
    assert again.one("html")["data-density"] == "compact"
    heads = again.page.select("thead th:not(.col-select)")
    assert len(heads) in (0, len(chosen) + sum(not column.is_optional for column in listing.columns))
    reset = meera.submit(path, action, reset="1")
    assert reset.status_code == 303
    assert [box["value"] for box in meera.get(path).page.select("input[name=columns][checked]")] != chosen


def test_columns_belong_to_one_list_and_person(meera: Browser, asha: Browser, arrive: Arrive) -> None:
    arrive(1)
    action = "/views/columns/orders"
    meera.submit("/orders", action, columns=["supplier"])
    assert meera.get("/orders").page.select("th.col-supplier")
    assert not meera.get("/webhooks").page.select("th.col-supplier")
    assert not asha.get("/orders").page.select("th.col-supplier")
    account = meera.fill("/account", "/account")
    assert meera.send("/account", account).status_code == 303
    assert meera.get("/orders").page.select("th.col-supplier")


@pytest.mark.parametrize(
    "change", [{"columns": "order"}, {"columns": "nonsense"}, {"density": "tiny"}, {"csrf_token": "x"}]
)
def test_invalid_columns_are_refused(meera: Browser, change: dict[str, str]) -> None:
    action = "/views/columns/orders"
    assert meera.submit("/orders", action, **change).status_code == 400


def test_columns_need_the_permission_of_the_list(asha: Browser) -> None:
    form = asha.fill("/orders", "/views/columns/orders")
    assert asha.send("/views/columns/audit", form).status_code == 403
    assert asha.send("/views/columns/people", form).status_code == 404
    assert asha.send("/views/columns/orders", {**form, "query": "q=" + "x" * 3000}).status_code == 303


def test_columns_are_read_from_any_stored_value(meera: Browser, database: Database, arrive: Arrive) -> None:
    arrive(1)
    unexpected: list[object] = [[], {"orders": 5}, {"orders": [1, "supplier"]}]
    for columns in unexpected:
        stored = {"columns": columns}
        with database.writing() as session:
            session.execute(update(Person).where(Person.username == "meera").values(preferences=stored))
            session.commit()
        assert meera.get("/orders").status_code == 200


def test_form_data_of_a_list_without_javascript_is_its_query(meera: Browser, arrive: Arrive) -> None:
    arrive(1)
    page = meera.get(
        "/orders?partner=Bharat+Connect&deliver_by_since=2026-11-01&received_since=2026-11-01T10:00"
    )
    (form,) = page.page.select("form.filters")
    values = {name: value for name, value in fields_of(form).items() if value}
    assert values == {
        "partner": "Bharat Connect",
        "deliver_by_since": "2026-11-01",
        "received_since": "2026-11-01T10:00",
        "sort": "respond_by",
    }


@pytest.mark.parametrize("path", LISTS)
def test_end_of_a_period_includes_its_day(
    meera: Browser, arrive: Arrive, confirm: Confirm, path: str
) -> None:
    confirm(*arrive(1))
    name = "received_until" if path == "/orders" else "until"
    today = clock.now().astimezone(ZoneInfo("Asia/Kolkata")).date()
    for day, is_match in ((today, True), (today - timedelta(days=1), False)):
        rows = meera.get(f"{path}?{name}={day}").page.select("tbody tr")
        assert bool(rows) == is_match
