"""The rows that a group leaves, by table; a row that several units change is in it once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.event import Mark
from .contract import DeadLetter, Definition, FlowKey, FlowState, LedgerRow, OutboxRow, WorkflowState
from .facts import RunFact

Cells = tuple[Any, ...]


class Rows:
    """Lists for what is only ever added, dicts by primary key for what may change again within the group."""

    __slots__ = (
        "cancel_keys", "cancel_open", "changed", "dead", "dead_changes", "definitions", "events", "flows", "held",
        "journal", "labels", "ledger", "marks", "outbox", "outbox_done", "ranks", "rules", "runs", "seen", "states",
        "unheld", "waited", "workflows",
    )  # fmt: skip

    def __init__(self) -> None:
        self.journal: list[Cells] = []
        self.events: list[Cells] = []
        self.waited: list[tuple[str, str, int]] = []  # pattern, key, event
        self.cancel_keys: list[tuple[str, str, int]] = []  # binding, key, run
        self.labels: list[tuple[str, str, int]] = []  # name, value, run
        self.runs: dict[int, RunFact] = {}  # new ones
        self.changed: dict[int, RunFact] = {}  # those that were there
        self.seen: dict[bytes, int] = {}
        self.held: dict[int, list[tuple[str, str, float, int, int]]] = {}  # run -> policy, key, rank, run, lane
        self.unheld: dict[int, None] = {}
        self.ranks: dict[int, float] = {}
        self.cancel_open: dict[int, int] = {}
        self.marks: dict[tuple[str, str], Mark] = {}
        self.flows: dict[FlowKey, FlowState | None] = {}
        self.states: dict[tuple[str, str], tuple[bytes, int] | None] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self.outbox_done: dict[int, int] = {}
        self.ledger: dict[tuple[str, float], LedgerRow] = {}
        self.dead: dict[int, DeadLetter] = {}
        self.dead_changes: dict[int, tuple[str, int]] = {}
        self.definitions: dict[bytes, Definition] = {}
        self.workflows: dict[str, WorkflowState] = {}
        self.rules: dict[int, bytes] = {}

    def lengths(self) -> Sequence[int]:
        """How long the lists are now, for `cut`."""
        return (len(self.journal), len(self.events), len(self.waited), len(self.cancel_keys), len(self.labels))

    def cut(self, lengths: Sequence[int]) -> None:
        """Take back what was added to the lists since."""
        for rows, length in zip(
            (self.journal, self.events, self.waited, self.cancel_keys, self.labels), lengths, strict=True
        ):
            del rows[length:]
