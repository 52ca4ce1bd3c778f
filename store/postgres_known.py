"""What a node knows of the runs that it changed last: it owns them, so it need not ask, only check as it writes."""

from __future__ import annotations

from collections.abc import Iterable

from .contract import RunState
from .facts import Facts, RunFact, Wants
from .rows import Rows

_RUNS_MAX = 200_000


class KnownRuns:
    """Fates of begun runs of this process, as it committed them. Another node may at most have cancelled one
    meanwhile.
    """

    def __init__(self) -> None:
        self._runs: dict[int, tuple[int, bool, int, float, int]] = {}

    def facts(self, wanted: Wants) -> Facts | None:
        """The facts, if nothing is wanted but run keys and runs that are known."""
        if wanted.identities or wanted.marks or wanted.flows or wanted.states or wanted.cancels:
            return None
        facts = Facts(wanted)
        for number in wanted.runs:
            known = self._runs.get(number)
            if known is None:
                return None
            facts.runs[number] = RunFact(number, *known, False)
        return facts

    def learn(self, rows: Rows) -> None:
        """A group with these rows was committed."""
        if len(self._runs) > _RUNS_MAX:
            self._runs.clear()
        for number, run in rows.runs.items():
            if RunState.RUNNING <= run.state < RunState.COMPLETED:
                self._runs[number] = (run.state, run.cancelled, run.priority, run.created_at, run.keyed)
        for number, run in rows.changed.items():
            ours = number in self._runs or (run.patch is not None and run.patch.get("node") is not None)
            if ours and RunState.RUNNING <= run.state < RunState.COMPLETED:
                self._runs[number] = (run.state, run.cancelled, run.priority, run.created_at, run.keyed)
            else:
                self._runs.pop(number, None)

    def forget(self, numbers: Iterable[int]) -> None:
        """These are not as they were known."""
        for number in numbers:
            self._runs.pop(number, None)
