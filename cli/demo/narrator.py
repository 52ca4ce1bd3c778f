"""Says in plain words what happens in the demo: the events that come, and what the runs do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ...core.clock import Clock
    from ...core.event import Event

BEATS_SHOWN = 3  # of the schedule: the first ones, then one in a minute
_QUIET = "heartbeat"


class Narrator:
    """Writes one line for each thing that is worth one. `imported` is called with the run of the first file loaded."""

    def __init__(self, clock: Clock, write: Callable[[str], None]) -> None:
        self._clock = clock
        self._write = write
        self.imported: Callable[[str], None] = lambda run: None

    def say(self, who: str, what: str) -> None:
        """One line."""
        at = datetime.fromtimestamp(self._clock.now()).astimezone().strftime("%H:%M:%S")
        self._write(f"{at}  {who:<14} {what}")

    def came(self, event: Event) -> None:
        """An event was accepted."""
        data: Any = event.data
        if event.type == "reactor.file.created":
            self.say("event", f"the file {data['name']} was dropped in inbox/")
        elif event.type == "reactor.http.request":
            self.say("event", f"an order came by HTTP: {_words(data)}")
        elif event.type == "com.example.temperature":
            self.say("event", f"a temperature came: {_words(data)}")

    def told(self, event: Event) -> None:
        """A run or one of its steps has come further."""
        data: Any = event.data
        if event.subject == _QUIET:
            self._beat(event.type, data)
        elif event.type == "reactor.run.started":
            self.say(data["workflow"], f"run {data['run']} started")
        elif event.type.startswith("reactor.step."):
            self._step(event.type.removeprefix("reactor.step."), data)
        elif event.type == "reactor.run.compensating":
            self.say(data["workflow"], "undoes what was done")
        elif event.type.startswith("reactor.run.") and "outputs" in data:
            self._end(data)

    def _beat(self, type: str, data: Any) -> None:
        if type != "reactor.step.completed":
            return
        number = data["output"]["value"]
        if number <= BEATS_SHOWN:
            more = "" if number < BEATS_SHOWN else " (and so on each second; from here on one line a minute)"
            self.say(_QUIET, f"beat {number}{more}")
        elif number % 60 == 0:
            self.say(_QUIET, f"beat {number}")

    def _step(self, what: str, data: Any) -> None:
        who, step = data["workflow"], data["step"]
        if what == "started" and (who, step) == ("too-hot", "all_clear"):
            self.say(who, "waits for the all-clear, a temperature under 70; it holds no worker meanwhile")
        elif what == "completed" and (who, step) == ("import-orders", "check"):
            good, bad = data["output"]["good"], data["output"]["bad"]
            self.say(who, f"  check: {len(good)} rows are good, {len(bad)} are not ({'; '.join(bad) or 'none'})")
        elif what == "completed":
            self.say(who, f"  {step}: done in {_ms(data['duration_ms'])}")
        elif what == "compensated":
            self.say(who, f"  {step}: undone")
        elif what in ("failed", "retrying"):
            self.say(who, f"  {step}: {what}: {data['error']['message']}")

    def _end(self, data: Any) -> None:
        who, state = data["workflow"], data["state"]
        self.say(who, f"run {data['run']} ended {state} after {_ms(data['duration_ms'])}")
        if who == "import-orders" and state == "completed":
            self.say(who, f"  wrote {data['outputs']['report']}")
            self.imported(data["run"])


def _ms(duration: float) -> str:
    return f"{duration:.0f} ms" if duration < 1000 else f"{duration / 1000:.1f} s"


def _words(data: Any) -> str:
    if not isinstance(data, dict):
        return str(data)
    return ", ".join(f"{key} {value}" for key, value in cast("dict[str, Any]", data).items())
