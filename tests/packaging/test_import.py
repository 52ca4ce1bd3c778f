"""The package can be imported under its name."""

import pytest
import reactor


def test_reactor_is_importable() -> None:
    assert reactor.__doc__


@pytest.mark.uncovered
def test_placeholder() -> None:
    assert reactor.__name__ == "reactor"
