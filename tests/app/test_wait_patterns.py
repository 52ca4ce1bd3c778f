"""A wait whose event cannot be looked for is refused when it is loaded, whoever loads it, and harms no other."""

from pathlib import Path

import pytest

from reactor.app import App
from reactor.language.built_in import BUILT_IN
from reactor.language.loader import load_text

WAITS = "workflow: waits\nsteps: [{{name: a, wait: {{event: {event}}}}}]\n"
FAULTS = [
    ("{type: go, match: x}", '`match`: expected a mapping; found "x"'),
    ("go", '`event`: expected a mapping; found "go"'),
    ("{type: go, match: {data: {a: 7}}}", "expected a list of alternatives or a mapping of fields, found the number 7"),
    ("{type: go, match: {type: [x]}}", "`match` tests `type`, which `type` decides already"),
]


@pytest.mark.parametrize(("event", "message"), FAULTS)
def test_it_is_told_once(event: str, message: str) -> None:
    found = load_text(WAITS.format(event=event), "w.yaml", App().vocabulary()).diagnostics
    assert [each.message for each in found.errors] == [message]


@pytest.mark.parametrize("event", [event for event, _ in FAULTS])
def test_it_is_told_without_the_schemas_of_actions_too(event: str) -> None:
    assert len(load_text(WAITS.format(event=event), "w.yaml", BUILT_IN).diagnostics.errors) == 1


async def test_the_other_files_are_in_force(tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "bad.yaml").write_text(WAITS.format(event="{type: go, match: {data: {a: 7}}}"))
    flow = "workflow: {0}\nwhen: [{{event: a{1}}}]\nsteps: [{{log: {{message: x}}}}]\n"
    (folder / "twice.yaml").write_text(flow.format("twice", ", match: {type: [b]}"))
    (folder / "good.yaml").write_text(flow.format("good", ""))
    async with App(project=tmp_path) as app:
        result = await app.load()
        assert {Path(file).name for file in result.failed} == {"bad.yaml", "twice.yaml"}
        assert list(app.engine.workflows.names()) == ["good"]
        assert len((await app.emit("a")).runs) == 1
