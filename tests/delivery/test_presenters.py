"""Sentences about the details of attempts."""

from __future__ import annotations

from collections import defaultdict

import pytest

from app.delivery.call_result import PARAM_MAX, Detail, DetailCode
from app.delivery.presenters import detail_sentence


class Parameters(defaultdict[str, float]):
    """Any parameter."""


@pytest.mark.parametrize("code", sorted(set(DetailCode) - {DetailCode.NONE, DetailCode.OTHER}))
def test_every_code_has_a_sentence(code: DetailCode) -> None:
    sentence = detail_sentence(Detail(code, Parameters(float)))
    assert (sentence.endswith(".") and sentence[0].isupper()) or sentence.startswith("0")


def test_failure_of_a_token_request_names_the_token() -> None:
    detail = Detail.of(DetailCode.RESPONSE_TIMEOUT, host="a.example", seconds=4.0, for_token=True)
    assert detail_sentence(detail) == "No token: No response within 4 s."


def test_detail_parameters_are_storable_and_truncated() -> None:
    detail = Detail.of(DetailCode.INTERNAL_ERROR, cause="a\0b\ud800" + "x" * 10_000)
    cause = detail.params["cause"]
    assert cause.startswith("a\N{REPLACEMENT CHARACTER}b?x") and len(cause) == PARAM_MAX
