"""The page of health: its numbers are those of the attempts, its pictures can be read without seeing them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from app import clock as the_clock
from app.db import Database
from app.partners.models import Partner
from app.reports import charts
from app.reports.delivery_health import RANGES, share
from tests.people import Browser


@pytest.fixture
def sent(arrive: Any, confirm: Any, deliver: Any, network: Any, clock: Any) -> None:
    """Four tries: one answered 503, three taken, one of them on its second try."""
    first, second, third = arrive(3)
    network.behave("503", times=1)
    confirm(first)
    deliver()
    confirm(second)
    deliver()
    clock.move(seconds=30)
    deliver()
    confirm(third)
    deliver()


def figures(page: Any) -> dict[str, str]:
    """What the page says in short."""
    return {
        " ".join(one.dt.get_text(" ").split()): " ".join(
            " ".join(dd.get_text(" ").split()) for dd in one.find_all("dd")
        )
        for one in page.page.select(".figures > div")
    }


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("name", sorted(RANGES))
def test_it_counts_what_was_sent(meera: Browser, name: str) -> None:
    page = meera.get(f"/health?range={name}")
    assert figures(page)["Taken by the network"] == "75.0 % 3 of 4 tries"
    assert figures(page)["From answer to delivery"].endswith("3 messages")
    assert figures(page)["Waits now"] == "Nothing no message is waiting"
    (row,) = page.page.select("table.failures tbody tr")
    assert [" ".join(cell.get_text(" ").split()) for cell in row.find_all("td")][:5] == [
        *("Unavailable", "503", "5xx", "1", "100 %")
    ]
    assert "code=503" in row.a["href"]
    assert page.one("table.by-partner tbody a").get_text() == "Bharat Connect"


@pytest.mark.usefixtures("sent")
def test_each_picture_has_its_numbers_and_says_them_to_hover_and_keyboard(meera: Browser) -> None:
    page = meera.get("/health?range=1h")
    for name in ("tries", "latency", "arrival"):
        figure = page.one(f"#{name}-picture")
        slots = figure.select(".slot")
        assert slots
        for slot in slots:
            words = slot["aria-label"]
            assert slot["tabindex"] == "0"
            assert slot.find("title").get_text() == words
            assert ": ".join(line.get_text() for line in slot.select(".chart-tooltip tspan")) == words
        assert figure.parent.select("details table tbody tr"), name
    told = [slot["aria-label"] for slot in page.page.select("#tries-picture .slot")]
    assert sum(int(words.split(": ")[1].split(" of ")[0]) for words in told) == 3
    assert not page.page.select("[style], style")


@pytest.mark.usefixtures("sent")
def test_htmx_gets_the_part_that_changes(meera: Browser) -> None:
    part = meera.get("/health?range=7d&partner=Bharat+Connect", headers={"HX-Request": "true"})
    assert part.one("#health")["data-here"] == "health"
    assert not part.page.select("html")


def test_nothing_sent_is_no_picture_of_nothing(meera: Browser, partner: Any) -> None:
    page = meera.get("/health")
    assert "Nothing was sent in this time" in page.words
    assert not page.page.select(".chart")
    assert figures(page)["Taken by the network"] == "– 0 of 0 tries"


def test_what_is_not_known_is_ignored_with_a_notice(meera: Browser, partner: Any) -> None:
    page = meera.get("/health?range=century&partner=Nobody")
    assert page.status_code == 200
    assert "“century” is ignored" in page.words
    assert "There is no such network" in page.words


def test_a_queue_shows_its_length_and_its_oldest(
    meera: Browser, arrive: Any, confirm: Any, clock: Any, database: Database
) -> None:
    for order_id in arrive(2):
        confirm(order_id)
    clock.move(hours=1)
    page = meera.get("/health")
    assert figures(page)["Waits now"].startswith("2 the oldest since")
    assert page.one("table.by-partner time").get_text() == "1 h ago"
    assert "state=pending" in page.one(".figures a")["href"]
    with database.writing() as session:
        session.execute(update(Partner).values(paused_at=the_clock.now(), paused_reason="x"))
        session.commit()
    page = meera.get("/health")
    assert figures(page)["Waits now"].endswith("all held, since the network is paused")
    assert "state=held" in page.one(".figures a")["href"]


def test_suppliers_do_not_see_the_whole(asha: Browser) -> None:
    assert asha.get("/health").status_code == 403
    assert not asha.get("/").page.select("a[data-queue=health]")


def test_a_share_is_never_rounded_up() -> None:
    assert share(9999, 10_000) == "99.9 %"
    assert share(10_000, 10_000) == "100 %"
    assert share(0, 3) == "0.0 %"
    assert share(1, 10_000) == "0.1 %"
    assert [share(part, 7) for part in (1, 6)] == ["14.3 %", "85.7 %"]
    assert share(0, 0) == "–"


# --- Geometry


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=70))
def test_bars_stay_within_the_plot_and_every_piece_can_be_seen(columns: list[tuple[int, int]]) -> None:
    picture = charts.bars(
        [("words" if sum(pair) else "", [("a", pair[0]), ("b", pair[1])]) for pair in columns],
        kinds=[("a", "A"), ("b", "B")],
        across=(),
        words_of=str,
    )
    assert picture.empty == (not any(sum(pair) for pair in columns))
    for slot, pair in zip(picture.slots, columns, strict=True):
        assert 0 <= slot.left < 100
        assert len(slot.parts) == sum(count > 0 for count in pair)
        for part in slot.parts:
            assert charts.TOP <= part.top <= charts.TOP + charts.HEIGHT
            assert part.height >= 1.5


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 1e12)), min_size=1, max_size=70))
def test_lines_stay_within_the_plot_and_break_where_nothing_was(values: list[float | None]) -> None:
    picture = charts.time_lines([("", [value]) for value in values], kinds=[("p50", "p50")], across=())
    path = picture.lines[0].path
    runs = sum(
        value is not None and (place == 0 or values[place - 1] is None) for place, value in enumerate(values)
    )
    assert path.count("M") == runs
    for point in path.replace("h.01", "").replace("L", "M").split("M")[1:]:
        across, down = map(float, point.split())
        assert 0 <= across <= 1000
        assert 0 <= down <= charts.HEIGHT
    assert len(picture.down) >= 2
    around = [None, *values, None]
    alone = [
        value is not None and around[place] is None and around[place + 2] is None
        for place, value in enumerate(values)
    ]
    assert picture.lines[0].points.count("M") == sum(alone)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_labels_of_time_stand_on_round_times_of_the_readers_clock(zone: str, name: str) -> None:
    now = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
    since, until = RANGES[name].since(now), RANGES[name].until(now)
    assert until - since == timedelta(seconds=RANGES[name].seconds * RANGES[name].steps)
    assert since < now < until
    local = (since.astimezone(ZoneInfo(zone)), until.astimezone(ZoneInfo(zone)))
    ticks = list(charts.time_ticks(*local))
    assert 3 <= len(ticks) <= 12
    for tick in ticks:
        at = local[0] + (local[1] - local[0]) * (tick.at / 100)
        assert abs(at.second + at.minute % 10 * 60 + at.microsecond / 1e6 - 300) >= 299, tick


def test_the_present_is_the_last_step(clock: Any) -> None:
    for one in RANGES.values():
        assert one.until(the_clock.now()) - the_clock.now() <= timedelta(seconds=one.seconds)
