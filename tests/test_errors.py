"""Errors carry what was found, what was expected, what to do."""

from __future__ import annotations

import pickle

import pytest

from morphoscope import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_says_all_three_and_survives_a_process_border(name: str) -> None:
    error = getattr(errors, name)("found this", expected="that", do="do so", row=3)
    assert str(error) == "found this; expected that; do so"
    assert isinstance(error, errors.MorphoscopeError)
    # Workers send their errors back pickled.
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(again) == str(error)
    assert again.data["row"] == 3
    assert type(again) is type(error)


def test_an_image_error_has_a_reason() -> None:
    error = errors.ImageError("0 bytes", reason="empty")
    assert error.reason == "empty"
    assert pickle.loads(pickle.dumps(error)).reason == "empty"  # noqa: S301
