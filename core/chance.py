"""The door through which chance comes in."""

from __future__ import annotations

import random

source = random.Random()
"""A test seeds it (`source.seed(7)`) and prints the seed."""


def jitter(seconds: float) -> float:
    """Anything from half of a delay to all of it ("equal jitter")."""
    return seconds * (0.5 + source.random() / 2)
