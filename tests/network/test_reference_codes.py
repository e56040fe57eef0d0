"""Names of units and states."""

from __future__ import annotations

import pytest

from app.network.reference_codes import gst_state_label, unit_label, unit_name


@pytest.mark.parametrize(
    ("code", "name"), [("OTH", "other unit"), ("KGS", "kilograms"), ("XYZ", ""), ("", ""), (None, "")]
)
def test_unit_has_its_name_if_known(code: str | None, name: str) -> None:
    assert unit_name(code) == name


@pytest.mark.parametrize(("code", "label"), [("27", "27 Maharashtra"), ("99", "99"), (None, "")])
def test_state_has_its_name_if_known(code: str | None, label: str) -> None:
    assert gst_state_label(code) == label


@pytest.mark.parametrize(("code", "label"), [("OTH", "OTH (other unit)"), ("NOS", "NOS"), (None, "")])
def test_unit_label_explains_other(code: str | None, label: str) -> None:
    assert unit_label(code) == label
