"""Wrong names, pages and instants: told with what would be right, and never taken for something else."""

from pathlib import Path

import pytest

from reactor.tests.cli.rig import Project

STATES = (
    "pending, queued, running, paused, cancelling, compensating, completed, failed, timed_out, cancelled, compensated, "
    "compensation_failed, waiting"
)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("run", "zzz"), 3, "error: there is no workflow `zzz`\n  = help: `reactor list` lists those in force\n"),
        (("run", "helo"), 3, "error: there is no workflow `helo`\n  = help: did you mean `hello`?\n"),
        (("runs", "--state", "nope"), 2, f"error: `nope` is no state of a run; there are: {STATES}\n"),
        (("runs", "--cursor", "zz"), 2, "error: `zz` is no cursor: pass on the `next` of the page before\n"),
        (("events", "--cursor", "zz"), 2, "error: `zz` is no cursor: pass on the `next` of the page before\n"),
        (
            ("dead-letters", "list", "--cursor", "zz"),
            2,
            "error: `zz` is no cursor: pass on the `next` of the page before\n",
        ),
        (
            ("events", "--since", "yesterday"),
            2,
            (
                "error: `yesterday` is neither an instant nor a duration\n"
                "  = help: write 2030-03-31T00:00:00Z, or how long ago: 30m, 2h, 7d\n"
            ),
        ),
        (
            ("runs", "--since", "2030-13-01"),
            2,
            (
                "error: `2030-13-01` is neither an instant nor a duration\n"
                "  = help: write 2030-03-31T00:00:00Z, or how long ago: 30m, 2h, 7d\n"
            ),
        ),
        (
            ("trigger", "test", "zzz"),
            3,
            "error: there is no trigger `zzz`\n  = help: `reactor trigger list` lists them\n",
        ),
        (
            ("status", "abc"),
            3,
            "error: `abc` is no run of this store\n  = help: a run's id looks like {store}-1-1\n",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_it_is_told_where_the_store_is_opened(words: tuple[str, ...], code: int, told: str, project: Project) -> None:
    said = project.say(*words)
    store = said.err.rpartition("looks like ")[2].partition("-")[0]
    assert (said.code, said.out, said.err) == (code, "", told.replace("{store}", store))


def test_a_snapshot_needs_a_folder(project: Project, tmp_path: Path) -> None:
    assert project.say("run", "hello").code == 0
    target = tmp_path / "none" / "x.db"
    assert project.say("store", "snapshot", str(target)) == (
        2,
        "",
        f"error: there is no folder {target.parent}\n  = help: make it first, or name a file elsewhere\n",
    )


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (b"[console_scripts]\nrow\n", "{info}/entry_points.txt cannot be read; correct or uninstall that package"),
        (b"\xff\xfe", "{info}/entry_points.txt cannot be read; correct or uninstall that package"),
        (
            b"[pydantic]\nx = os:getcwd\n",
            "AttributeError: 'builtin_function_or_method' object has no attribute 'new_schema_validator'",
        ),
    ],
)
def test_a_package_whose_entry_points_are_torn_stops_nobody(project: Project, points: bytes, why: str) -> None:
    """Whoever it is: Pydantic reads those of all that is installed."""
    info = project.root / "site" / "torn-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: torn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_bytes(points)
    with project.start("validate", env={"PYTHONPATH": str(info.parent)}) as child:
        code = child.ended()
    said = [f"Pydantic's plugins are left out: {why.format(info=info)}"]
    assert (code, child.out, child.err) == (0, ["hello 1.2.0: 2 steps"], said)
