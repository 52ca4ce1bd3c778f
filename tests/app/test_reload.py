"""Workflow files that are read again: what is in force then, and what the log says of it."""

import logging
from pathlib import Path

import pytest

from reactor.app import App
from reactor.language.loader import load_text

SHIP = "workflow: ship\nwhen: [{event: order}]\nsteps: [{log: {message: x}}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "workflows").mkdir()
    (tmp_path / "reactor.yaml").write_text("vars: {}\n")
    found = tmp_path / "workflows" / "ship.yaml"
    found.write_text(SHIP)
    return found


@pytest.mark.rule("10.3")
async def test_a_file_that_is_empty_for_a_moment_stays_in_force(file: Path) -> None:
    async with App(project=file.parents[1]) as app:
        await app.load()
        file.write_text("")  # as an editor does before it writes
        assert [each.message for each in (await app.load()).diagnostics.errors] == ["the file is empty"]
        assert len((await app.emit("order")).runs) == 1


@pytest.mark.rule("10.3")
async def test_a_file_that_defines_what_another_has_replaces_nothing(file: Path) -> None:
    async with App(project=file.parents[1]) as app:
        await app.load()
        copy = file.with_name("a-copy.yaml")  # first by name
        copy.write_text(SHIP.replace("event: order", "event: offer"))
        message = "the workflow `ship` 0.0.0 is defined more than once: also in {}:1:11"
        found = {each.place.file: each.message for each in (await app.load()).diagnostics.errors}
        assert found == {str(file): message.format(copy), str(copy): message.format(file)}
        assert [len((await app.emit(type)).runs) for type in ("order", "offer")] == [1, 0]
        file.unlink()  # now it is clear which one is meant
        assert not (await app.load()).diagnostics.errors
        assert [len((await app.emit(type)).runs) for type in ("order", "offer")] == [0, 1]


@pytest.mark.rule("10.3")
async def test_a_file_that_is_gone_takes_its_workflow_out_of_force_and_the_log_says_so(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reactor.workflows")
    async with App(project=file.parents[1]) as app:
        await app.load()
        file.unlink()
        await app.load()
        assert (await app.emit("order")).runs == ()
    assert [each.getMessage() for each in caplog.records if each.name == "reactor.workflows"] == [
        "workflow ship 0.0.0, revision 1",
        "workflow ship is removed: it starts nothing more, its open runs end normally",
    ]


CALLER = "---\nworkflow: caller\nversion: {}\nwhen: [{{event: call}}]\nsteps: [{{run-workflow: {{workflow: {}}}}}]\n"
FRESH = "---\nworkflow: fresh\nwhen: [{event: fresh}]\nsteps: [{log: {message: x}}]\n"


@pytest.mark.rule("10.3")
async def test_a_call_of_nobody_breaks_its_own_workflow_and_no_other_of_its_file(file: Path) -> None:
    async with App(project=file.parents[1]) as app:
        file.write_text(SHIP + CALLER.format("1.0.0", "ship"))
        assert not (await app.load()).diagnostics.errors
        file.write_text(SHIP.replace("order", "offer") + CALLER.format("1.1.0", "nobody") + FRESH)
        result = await app.load()
        assert [each.message for each in result.diagnostics.errors] == ["there is no workflow `nobody`"]
        assert result.failed == {str(file)}
        emitted = {type: (await app.emit(type)).runs for type in ("order", "offer", "fresh", "call")}
        assert {type: len(runs) for type, runs in emitted.items()} == {"order": 0, "offer": 1, "fresh": 1, "call": 1}
        assert (await app.get(emitted["call"][0]))["version"] == "1.0.0"  # its last good one


@pytest.mark.rule("10.3")
async def test_a_class_that_is_wrong_beside_others_takes_none_of_its_file_along(file: Path) -> None:
    code = file.with_name("coded_for_reload.py")
    code.write_text(
        "from reactor import WorkflowBuilder, on\n"
        'one = WorkflowBuilder("one", when=[on.event("one")]).step("say", "log", with_={"message": "x"}).build()\n'
        'two = WorkflowBuilder("two").step("call", "run-workflow", with_={"workflow": "nobody"}).build()\n'
    )
    async with App(project=file.parents[1]) as app:
        result = await app.load()
        assert [each.message for each in result.diagnostics.errors] == ["there is no workflow `nobody`"]
        assert sorted(app.engine.workflows.names()) == ["one", "ship"]


BAD = SHIP.replace("log:", "lgo:")
UNREADABLE = SHIP + "  - {log: {message: x}\n"


@pytest.mark.rule("10.3")
@pytest.mark.parametrize("broken", [BAD, UNREADABLE])
async def test_a_workflow_that_is_moved_and_broken_in_one_edit_stays_in_force(file: Path, broken: str) -> None:
    async with App(project=file.parents[1]) as app:
        await app.load()
        moved = file.with_name("moved.yaml")
        file.unlink()
        moved.write_text(broken)
        assert (await app.load()).failed == {str(moved)}
        assert len((await app.emit("order")).runs) == 1
    async with App(project=file.parents[1]) as app:
        await app.load()
        moved.write_text(SHIP.replace("order", "offer"))
        await app.load()
        assert [len((await app.emit(type)).runs) for type in ("order", "offer")] == [0, 1]
        moved.unlink()
        await app.load()
        assert app.engine.workflows.names() == []


@pytest.mark.rule("10.3")
async def test_a_class_that_is_moved_and_broken_in_one_edit_stays_in_force(file: Path) -> None:
    one, other = file.with_name("moved_class_one.py"), file.with_name("moved_class_other.py")
    text = "from reactor import Workflow, on, step\n"
    text += "class ShipFirst(Workflow, when=[on.event('first')]):\n  @step\n  def a(self) -> int: return 1\n"
    text += "class Other(Workflow, name='ship-second', when=[on.event('second')]):\n"
    text += "  @step\n  def a(self) -> int: return 1\n"
    one.write_text(text)
    async with App(project=file.parents[1]) as app:
        assert not (await app.load()).diagnostics.errors
        one.unlink()
        other.write_text(text + "1 / 0\n")
        assert (await app.load()).failed == {str(other)}
        assert [len((await app.emit(type)).runs) for type in ("first", "second")] == [1, 1]
        other.write_text("from reactor import Workflow\nnot python\n")  # and what names neither keeps neither
        assert (await app.load()).failed == {str(other)}
        assert app.engine.workflows.names() == ["ship"]


@pytest.mark.rule("10.3")
async def test_a_workflow_that_was_moved_unchanged_belongs_to_its_new_file(file: Path) -> None:
    async with App(project=file.parents[1]) as app:
        await app.load()
        moved = file.rename(file.with_name("moved.yaml"))
        assert not (await app.load()).diagnostics.errors
        moved.write_text(BAD)
        await app.load()
        assert len((await app.emit("order")).runs) == 1
        moved.unlink()
        await app.load()
        assert (await app.emit("order")).runs == ()


@pytest.mark.rule("10.1.2")
async def test_a_version_that_is_taken_back_in_its_file_is_rolled_back(file: Path) -> None:
    """The files are what is in force: a higher version that no file has any more is not; with an error in it, it is."""

    async def version(text: str) -> str:
        file.write_text(text)
        await app.load()
        return (await app.get((await app.emit("order")).runs[0]))["version"]

    one, two, three = (SHIP.replace("ship", f"ship\nversion: {number}.0.0") for number in (1, 2, 3))
    async with App(project=file.parents[1]) as app:
        assert [await version(text) for text in (one, two, one)] == ["1.0.0", "2.0.0", "1.0.0"]
    async with App(project=file.parents[1]) as app:
        assert (await app.get((await app.emit("order")).runs[0]))["version"] == "1.0.0", "before any file is read"
        assert [await version(text) for text in (one, three, two)] == ["1.0.0", "3.0.0", "2.0.0"]
        assert await version(one + "---\n" + two) == "2.0.0"
        assert await version(one + "---\n" + two.replace("log:", "lgo:")) == "2.0.0", "its last good revision"
        assert await version(one) == "1.0.0"


@pytest.mark.rule("10.1.2")
async def test_a_version_that_came_by_the_api_is_not_rolled_back_by_files(file: Path) -> None:
    async with App(project=file.parents[1]) as app:
        await app.load()
        text = SHIP.replace("ship", "ship\nversion: 2.0.0")
        await app.workflows_api.deploy(load_text(text, "", app.vocabulary()).loaded)
        for _ in range(2):
            await app.load()
            assert (await app.get((await app.emit("order")).runs[0]))["version"] == "2.0.0"
