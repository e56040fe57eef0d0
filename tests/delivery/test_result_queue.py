"""What senders tell: nothing is lost, nobody waits longer than asked, one wake-up may bring many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.delivery.result_queue import News

FAR = 30.0
"""Seconds that no test lasts: who waits so long waits for ever."""


@pytest.fixture
def beside() -> Any:
    """Does something in another thread while the test waits, and is done when the test ends."""
    running: list[threading.Thread] = []

    def beside(what: Callable[[], None]) -> None:
        running.append(threading.Thread(target=what))
        running[-1].start()

    yield beside
    for thread in running:
        thread.join()


def tell_soon(news: News, *ends: Any, pause: float = 0.05) -> Callable[[], None]:
    def telling() -> None:
        for end in ends:
            time.sleep(pause)
            news.tell(end)

    return telling


def test_one_end_ends_the_wait(beside: Any) -> None:
    news = News()
    beside(tell_soon(news, "first"))
    assert news.wait(FAR)
    assert news.gather(1, FAR) == ["first"]


def test_what_was_told_before_needs_no_wait() -> None:
    news = News()
    news.tell("early")  # type: ignore[arg-type]
    assert news.wait(0)
    assert news.gather(1, 0) == ["early"]
    assert not news.wait(0)


def test_gathering_waits_for_enough_and_keeps_their_order(beside: Any) -> None:
    news = News()
    beside(tell_soon(news, 1, 2, 3))
    assert news.gather(3, FAR) == [1, 2, 3]


def test_gathering_takes_more_than_enough() -> None:
    news = News()
    for end in range(5):
        news.tell(end)  # type: ignore[arg-type]
    assert news.gather(2, FAR) == [0, 1, 2, 3, 4]
    assert news.gather(1, 0) == []


def test_gathering_takes_what_there_is_when_its_time_is_over() -> None:
    news = News()
    news.tell("only")  # type: ignore[arg-type]
    assert news.gather(8, 0.01) == ["only"]


def test_a_nudge_wakes_once_and_brings_nothing(beside: Any) -> None:
    news = News()
    beside(news.nudge)
    assert news.wait(FAR)
    assert news.gather(0, 0) == []
    assert not news.wait(0)


def test_ends_from_many_threads_all_arrive(beside: Any) -> None:
    news = News()
    for number in range(20):
        beside(tell_soon(news, *range(number * 10, number * 10 + 10), pause=0))
    got: list[Any] = []
    while len(got) < 200:
        assert news.wait(FAR)
        got += news.gather(7, 0.001)
    assert sorted(got) == list(range(200))
