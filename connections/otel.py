"""OpenTelemetry traces: on when the environment names where they go, and then event → run → step.

Off, it costs nothing: no library is imported and nobody listens. The variables are OpenTelemetry's own:
`OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) turns it on, `OTEL_SDK_DISABLED` and `OTEL_TRACES_EXPORTER=none`
turn it off again; headers, time limits, sampler, service name and batch sizes are the library's to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..core.clock import Clock
from ..core.errors import ConfigError
from ..core.event import Event

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Teller(Protocol):
    """Who tells of runs and steps, and asks back which span is theirs."""

    listeners: list[Callable[[Event], None]]
    current: Callable[[str, str, str], str]
    """A run, a step of it (or none), the `traceparent` that the run was given → the one for what they send."""
    traced: Callable[[str, str], bool]
    """A workflow and its version → are its runs traced?"""


class Tracing(Protocol):
    """Whoever makes spans, or nobody."""

    async def close(self) -> None:
        """Send what is left, and end. Safe twice."""
        ...


class Off:
    """Nobody traces."""

    async def close(self) -> None:
        """Nothing to do."""


def tracing(
    environ: Mapping[str, str],
    clock: Clock,
    store_id: str,
    telling: Teller,
    accepted: list[Callable[[Event, int], None]],
) -> Tracing:
    """Trace if the environment says so: listen to the engine (`telling`: runs and steps) and to the intake (`accepted`:
    events with their keys).

    Raises ConfigError `missing_extra`, or a variable that the library cannot read.
    """
    endpoint = next((name for name in ENDPOINTS if environ.get(name, "").strip()), "")
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not endpoint or disabled or environ.get("OTEL_TRACES_EXPORTER", "").strip() == "none":
        return Off()
    try:
        from .otel_spans import Spans, exporting
    except ImportError as error:
        raise ConfigError(
            f"{endpoint} is set, but what sends traces is not installed: {error}",
            hint="pip install 'reactor-triggers[otel]', or unset it",
            code="missing_extra",
        ) from error
    try:
        spans = Spans(exporting(), clock, store_id, traced=telling.traced)
    except ValueError as error:
        raise ConfigError(f"a variable OTEL_… cannot be read: {error}", hint="correct or unset it") from error
    telling.listeners.append(spans.told)
    telling.current = spans.current
    accepted.append(spans.accepted)
    return spans
