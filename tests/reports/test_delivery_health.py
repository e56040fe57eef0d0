"""The delivery health page: its numbers match the attempts, and its charts are accessible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import clock
from app.partners.models import Partner
from app.reports import charts
from app.reports.delivery_health import RANGES
from app.ui.numbers import percent
from tests.fixture_types import Arrive, ChangePartner, Confirm, ConfirmOrders, Deliver, MoveClock
from tests.people import HTMX, Browser, one
from tests.reports.figures import figures
from tests.serving import Network


@pytest.fixture
def sent(arrive: Arrive, confirm: Confirm, deliver: Deliver, network: Network, move_clock: MoveClock) -> None:
    """Four attempts: one fails with 503, three succeed, one of them as a second attempt."""
    first, second, third = arrive(3)
    network.behave("503", times=1)
    confirm(first)
    deliver()
    confirm(second)
    deliver()
    move_clock(seconds=30)
    deliver()
    confirm(third)
    deliver()


@pytest.mark.sqlite
@pytest.mark.usefixtures("sent")
def test_success_rate_is_the_same_on_the_page_of_the_partner(meera: Browser, partner: Partner) -> None:
    page = meera.get(f"/partners/{partner.id}")
    assert page.one("dt:-soup-contains-own('Success rate, last 24\xa0h') + dd").get_text() == "75.0%"


@pytest.mark.usefixtures("sent")
def test_page_counts_all_attempts_in_each_range(subtests: pytest.Subtests, meera: Browser) -> None:
    for name in sorted(RANGES):
        with subtests.test(name=name):
            page = meera.get(f"/health?range={name}")
            assert figures(page)["Success rate"] == "75.0% 3 of 4 attempts"
            assert figures(page)["Time to delivery"].endswith("3 webhooks")
            assert figures(page)["Backlog"] == "0 The queue is empty"
            (row,) = page.page.select("table.failures tbody tr")
            assert [" ".join(cell.get_text(" ").split()) for cell in row.find_all("td")][:5] == [
                "Unavailable",
                "503",
                "5xx",
                "1",
                "100%",
            ]
            assert "code=503" in str(one(row, "a")["href"])
            assert page.one("table.by-partner tbody a").get_text() == "Bharat Connect"


@pytest.mark.sqlite
@pytest.mark.usefixtures("sent")
def test_each_chart_has_a_tooltip_per_step_and_a_data_table(meera: Browser) -> None:
    page = meera.get("/health?range=1h")
    for name in ("attempts", "latency", "delivery"):
        figure = page.one(f"#{name}-chart")
        slots = figure.select(".slot")
        assert slots
        for slot in slots:
            words = slot["aria-label"]
            assert slot["tabindex"] == "0"
            assert one(slot, "title").get_text() == words
            assert ": ".join(line.get_text() for line in slot.select(".chart-tooltip tspan")) == words
        assert page.page.select(f":has(> #{name}-chart) details table tbody tr"), name
    labels = [str(slot["aria-label"]) for slot in page.page.select("#attempts-chart .slot")]
    assert sum(int(words.split(": ")[1].split(" of ")[0]) for words in labels) == 3
    assert not page.page.select("[style], style")


@pytest.mark.sqlite
@pytest.mark.usefixtures("sent")
def test_htmx_request_gets_the_fragment(meera: Browser) -> None:
    part = meera.get("/health?range=7d&partner=Bharat+Connect", headers=HTMX)
    assert part.one("#health")["data-active-page"] == "health"
    announced = " ".join(str(part.one("#health")["data-announce"]).split())
    assert announced == "7 days: 4 attempts, 75.0% successful"
    assert not part.page.select("html")


def test_page_without_attempts_has_no_charts(meera: Browser, partner: Partner) -> None:
    page = meera.get("/health")
    assert "No attempts in this period" in page.visible_text
    assert not page.page.select(".chart")
    assert figures(page)["Success rate"] == "– 0 of 0 attempts"


@pytest.mark.sqlite
def test_blank_parameters_show_the_defaults(meera: Browser, partner: Partner) -> None:
    page = meera.get("/health?range=%20&partner=%20")
    assert page.status_code == 200
    assert "ignored" not in page.visible_text


@pytest.mark.sqlite
def test_unknown_parameters_are_ignored_with_a_notice(meera: Browser, partner: Partner) -> None:
    page = meera.get("/health?range=century&partner=Nobody")
    assert page.status_code == 200
    assert "“century” is ignored" in page.visible_text
    assert "Unknown partner" in page.visible_text


def test_backlog_shows_its_size_and_oldest_message(
    meera: Browser, confirm_orders: ConfirmOrders, move_clock: MoveClock, change_partner: ChangePartner
) -> None:
    confirm_orders(2)
    move_clock(hours=1)
    page = meera.get("/health")
    assert figures(page)["Backlog"].startswith("2 oldest from")
    assert page.one("table.by-partner time").get_text() == "1 h ago"
    assert "state=pending" in page.one(".figures a")["href"]
    change_partner(paused_at=clock.now(), paused_reason="x")
    page = meera.get("/health")
    assert figures(page)["Backlog"].endswith("(all paused)")
    assert "state=held" in page.one(".figures a")["href"]


@pytest.mark.sqlite
def test_supplier_staff_have_no_access(asha: Browser) -> None:
    assert asha.get("/health").status_code == 403
    assert not asha.get("/").page.select("a[data-queue=health]")


def test_percent_is_100_or_0_only_if_exact() -> None:
    assert percent(9999, 10_000) == "99.9%"
    assert percent(10_000, 10_000) == "100%"
    assert percent(0, 3) == "0.0%"
    assert percent(1, 10_000) == "0.1%"
    assert [percent(part, 7) for part in (1, 6)] == ["14.3%", "85.7%"]
    assert percent(0, 0) == "–"


# --- Geometry


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=70))
def test_bars_stay_within_the_plot_and_every_segment_is_visible(columns: list[tuple[int, int]]) -> None:
    chart = charts.bar_chart(
        [charts.StepData("", "label" if sum(pair) else "", pair) for pair in columns],
        kinds=[charts.Series("a", "A"), charts.Series("b", "B")],
        ticks=(),
        format_value=str,
    )
    assert chart.is_empty == (not any(sum(pair) for pair in columns))
    for slot, pair in zip(chart.slots, columns, strict=True):
        assert 0 <= slot.left < slot.left + slot.width <= 100 + 1e-9
        assert len(slot.segments) == sum(count > 0 for count in pair)
        for segment in slot.segments:
            assert segment.top >= charts.TOP
            assert segment.top + segment.height <= charts.TOP + charts.HEIGHT + 1e-9
            assert segment.height >= 1.5


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 1e12)), min_size=1, max_size=70))
def test_lines_stay_within_the_plot_and_break_at_missing_values(values: list[float | None]) -> None:
    columns = [charts.StepData("", "", [value]) for value in values]
    chart = charts.duration_chart(columns, kinds=[charts.Series("p50", "p50")], ticks=())
    path = chart.lines[0].path
    segments = sum(
        value is not None and (place == 0 or values[place - 1] is None) for place, value in enumerate(values)
    )
    assert path.count("M") == segments
    for point in path.replace("h.01", "").replace("L", "M").split("M")[1:]:
        x, y = map(float, point.split())
        assert 0 <= x <= 1000
        assert 0 <= y <= charts.HEIGHT
    assert len(chart.vertical_ticks) >= 2
    padded = [None, *values, None]
    alone = [
        value is not None and padded[place] is None and padded[place + 2] is None
        for place, value in enumerate(values)
    ]
    assert chart.lines[0].points.count("M") == sum(alone)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("name", sorted(RANGES))
def test_time_ticks_are_at_round_local_times(zone: str, name: str) -> None:
    now = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
    since, until = RANGES[name].since(now), RANGES[name].until(now)
    assert until - since == RANGES[name].step * RANGES[name].count
    assert since < now < until
    local = (since.astimezone(ZoneInfo(zone)), until.astimezone(ZoneInfo(zone)))
    ticks = list(charts.time_ticks(*local))
    assert 3 <= len(ticks) <= 12
    for tick in ticks:
        at = local[0] + (local[1] - local[0]) * (tick.at / 100)
        assert abs(at.second + at.minute % 10 * 60 + at.microsecond / 1e6 - 300) >= 299, tick


def test_last_step_of_each_range_includes_now(move_clock: MoveClock) -> None:
    for time_range in RANGES.values():
        now = clock.now()
        assert timedelta(0) < time_range.until(now) - now <= time_range.step
