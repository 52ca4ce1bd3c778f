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


PATHS = (
    "triggers: {a: {http: {path: '/x/{id}', method: [GET, PUT]}}, r: {http: {path: /r, respond: result}}}\n"
    "store: ':memory:'\n"
)


def test_two_named_triggers_of_one_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "reactor.yaml").write_text(
        PATHS.replace("triggers: {", "triggers: {b: {http: {path: '/x/{n}', method: PUT}}, ")
    )
    with pytest.raises(InvalidDefinition) as caught:
        App(project=tmp_path, listen=False)
    assert [(each.message, each.hint) for each in caught.value.diagnostics] == [
        ("PUT /hooks/x/{} is served by `b` already", "give one of the two another path or method")
    ]


async def test_a_path_of_a_named_trigger_is_not_served_or_answered_twice(tmp_path: Path) -> None:
    (tmp_path / "reactor.yaml").write_text(PATHS)
    (tmp_path / "workflows").mkdir()
    flows = ["{http: {path: '/x/{n}', method: PUT}}", "{trigger: a}", "{trigger: a}", "{trigger: r}", "{trigger: r}"]
    for number, entry in enumerate(flows):
        text = f"workflow: f{number}\nwhen: [{entry}]\nsteps: [{{log: {{message: x}}}}]\n"
        (tmp_path / "workflows" / f"f{number}.yaml").write_text(text)
    async with App(project=tmp_path, listen=False) as app:
        errors = (await app.load()).diagnostics.errors
        assert [(each.message, Path(each.place.file).name) for each in errors] == [
            ("PUT /hooks/x/{} is served by `a` already", "f0.yaml"),
            (
                f"`f3` ({tmp_path / 'workflows' / 'f3.yaml'}:2:8) answers this path with its result already",
                "f4.yaml",
            ),
        ]
