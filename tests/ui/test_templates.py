"""Templates."""

from __future__ import annotations

import pytest
from flask import Flask, render_template_string
from jinja2 import UndefinedError


def test_template_fails_if_it_prints_a_missing_attribute(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(UndefinedError, match="has no attribute 'titel'"):
        render_template_string("{{ job.titel }}", job=object())
