"""Longer and longer waits between attempts, spread by chance so that many do not come back at once."""

from __future__ import annotations

from . import chance


class Backoff:
    """Waits in seconds: `delay_s`, then each `factor` times the one before, at most `max_delay_s`."""

    __slots__ = ("_delay_s", "_factor", "_jitter", "_max_delay_s", "_next_s")

    def __init__(
        self, delay_s: float = 0.5, factor: float = 2.0, max_delay_s: float = 30.0, *, jitter: bool = True
    ) -> None:
        self._delay_s = min(delay_s, max_delay_s)
        self._factor = factor
        self._max_delay_s = max_delay_s
        self._jitter = jitter
        self._next_s = self._delay_s

    def next_s(self) -> float:
        """How long to wait before the next attempt: with jitter, from half of the delay to all of it."""
        delay = self._next_s
        self._next_s = min(self._max_delay_s, delay * self._factor)
        return chance.jitter(delay) if self._jitter else delay

    def reset(self) -> None:
        """It worked: begin again with the first delay."""
        self._next_s = self._delay_s
