"""Which store a verb takes, who may have it, and what `reactor store` says of it."""

import sqlite3
from pathlib import Path

import pytest

from reactor.tests.cli.rig import NAP, Project


def test_a_command_waits_for_another_and_says_who_has_the_store(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(nap=NAP)
    monkeypatch.setattr("reactor.cli.client.HELD_S_MAX", 0.1)
    with project.start("run", "nap") as other:
        other.until(lambda: any("running" in line or "waiting" in line for line in other.err))
        said = project.say("list")
        assert (said.code, said.out) == (4, "")
        assert said.err == (
            f"error: the store {project.root / 'reactor.db'} is in use by process {other.pid}\n"
            "  = help: it takes no commands: wait until it has ended, or name its server with --server\n"
        )
        other.interrupt()
        assert other.ended() == 130
        assert other.err[-1] == "interrupted"
        assert other.err[-2].startswith("the run goes on: `reactor watch ")


def test_looking_does_not_carry_on_with_runs(project: Project) -> None:
    project.write(nap=NAP)
    run = project.say("run", "nap", "--detach").out.strip()
    before = project.say("status", run, "-o", "json").json
    assert project.say("runs", "-o", "json").json[0]["recoveries"] == 0
    assert project.say("status", run, "-o", "json").json == before


def test_the_store_is_the_projects_wherever_the_command_stands(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    assert project.say("--project", str(project.root), "run", "hello").code == 0
    assert (project.root / "reactor.db").exists()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.req("P-9")
def test_another_store_by_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.say("run", "hello")
    monkeypatch.setenv("REACTOR_STORE", "sqlite:///other.db")
    assert project.say("runs", "-o", "json").json == []
    assert (project.root / "other.db").exists()


def test_a_snapshot_is_a_store_of_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run = project.say("run", "hello", "-o", "json").json["id"]
    assert project.say("store", "check").out.startswith(f"store  {project.root / 'reactor.db'}\nstate  sound\n")
    assert project.say("store", "snapshot", "copy.db").code == 0
    assert project.say("store", "snapshot", "copy.db").err == (
        "error: the file copy.db exists already\n  = help: name a new file: a snapshot overwrites nothing\n"
    )
    monkeypatch.setenv("REACTOR_STORE", "sqlite:///copy.db")
    assert project.say("status", run).code == 0


def test_a_damaged_store_is_told(project: Project) -> None:
    assert project.say("store", "check").code == 3
    project.say("run", "hello")
    path = Path(project.root / "reactor.db")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    body = bytearray(path.read_bytes())
    body[4096 * 2 : 4096 * 4] = b"\xff" * 8192
    path.write_bytes(body)
    said = project.say("store", "check")
    assert said.code == 4
    assert said.err.startswith(f"error: the store {path} is damaged: ")
    assert said.err.endswith("\n  = help: stop, and restore the newest snapshot\n")


@pytest.mark.broker("postgres")
def test_the_same_on_postgresql(project: Project, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.setenv("REACTOR_STORE", postgres_url)
    run = project.say("run", "hello", "-i", "name=Ada", "-o", "json")
    assert (run.code, run.json["outputs"]) == (0, {"text": "hello Ada"})
    assert project.say("status", run.json["id"], "-o", "json").json["state"] == "completed"
    assert project.say("store", "snapshot", "copy.db") == (
        2,
        "",
        (
            "error[unavailable]: `reactor store snapshot` works on SQLite files only, and this store is none\n"
            "  = help: use pg_dump\n"
        ),
    )
    assert not (project.root / "reactor.db").exists()
    project.write(nap=NAP)
    assert project.say("run", "nap", "--detach").err == (
        "no server of this folder runs, and none is named with --server: what is left of the run goes on with "
        "`reactor serve`\n"
    )
