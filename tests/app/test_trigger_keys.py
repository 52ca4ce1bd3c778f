"""Keys of triggers that mean nothing together, or to a kind, are refused when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactor import App
from reactor.language.diagnostics import InvalidDefinition

CONNECTIONS = "connections: {k: {kafka: {servers: ['h:1']}}, n: {nats: {servers: ['nats://h:1']}}}\n"
ENDS = "earliest, latest"
IN_KAFKA = f"{ENDS}, {{time: …}}, {{offset: …}}"


def read(folder: Path, trigger: str) -> list[tuple[str, str]]:
    """The errors of a project with this trigger, and their hints."""
    (folder / "reactor.yaml").write_text(f"store: ':memory:'\n{CONNECTIONS}triggers: {{t: {{{trigger}}}}}\n")
    try:
        App(project=folder, listen=False)
    except InvalidDefinition as error:
        return [(each.message, each.hint or each.expected) for each in error.diagnostics]
    return []


@pytest.mark.parametrize(
    ("trigger", "message", "hint"),
    [
        ("file: in, start: {offset: 3}", "`start` of a trigger of kind file cannot be `offset`", f"write {ENDS}"),
        ("file: in, start: {time: 3h}", "`start` of a trigger of kind file cannot be `time`", f"write {ENDS}"),
        ("file: in, start: last", "`start` of a trigger of kind file cannot be `last`", f"write {ENDS}"),
        (
            "kafka: {topic: x}, start: last",
            "`start` of a trigger of kind kafka cannot be `last`",
            f"write {IN_KAFKA}",
        ),
        *(
            (
                f"kafka: {{topic: x}}, start: {{offset: {offset}}}",
                "`start.offset` of kafka is not one",
                "{offset: {0: 4711}}, by partition",
            )
            for offset in ("5", "{a: 1}", "{0: -1}", "{}")
        ),
        *(
            (
                f"jetstream: {{stream: x}}, start: {{offset: {offset}}}",
                "`start.offset` of jetstream is not one",
                "{offset: 4711}",
            )
            for offset in ("{0: 5}", "-5", "true")
        ),
        (
            "every: {interval: 15s, from: 2026-01-02T00:00:00Z, until: 2026-01-01T00:00:00Z}",
            "`until` is before `from`, 2026-01-02T00:00:00Z: the schedule never comes",
            "",
        ),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, trigger: str, message: str, hint: str) -> None:
    assert read(tmp_path, trigger) == [(message, hint)]


@pytest.mark.parametrize(
    "trigger",
    [
        "file: in, start: earliest",
        "kafka: {topic: x}, start: {offset: {0: 5, 1: 0}}",
        "kafka: {topic: x}, start: {time: 3h}",
        "jetstream: {stream: x}, start: last",
        "jetstream: {stream: x}, start: {offset: 5}",
        "cron: {schedule: '* * * * *', from: 2026-01-01T00:00:00Z, until: 2026-01-02T00:00:00Z}",
    ],
)
def test_what_means_something_is_taken(tmp_path: Path, trigger: str) -> None:
    assert read(tmp_path, trigger) == []
