"""Verbs that need no store: new files, schemas, schedules, connections, secrets, tokens, doctor, completion."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

import reactor
from reactor.cli.verbs import VERBS
from reactor.plugins.checking import Checked, Outcome
from reactor.tests.cli.rig import Project
from reactor.tests.plugins.pack import ACTION, install
from reactor.tests.tidy.tree import LEVELS


@pytest.mark.req("C-1")
def test_new_workflow_is_valid_and_overwrites_nothing(project: Project) -> None:
    said = project.say("new", "workflow", "greet")
    assert said == (0, "wrote workflows/greet.yaml\nnext: reactor run greet --input name=Ada\n", "")
    assert project.say("validate", "workflows/greet.yaml").out == "greet 0.0.0: 2 steps\n"
    assert project.say("run", "greet", "-i", "name=Ada", "-o", "json").json["outputs"] == {"greeting": "Hello, Ada!"}
    text = (project.root / "workflows" / "greet.yaml").read_text()
    assert project.say("new", "workflow", "greet") == (
        2,
        "",
        "error: workflows/greet.yaml exists already\n  = help: choose another name, or edit the file\n",
    )
    assert (project.root / "workflows" / "greet.yaml").read_text() == text
    assert project.say("new", "workflow", "../x").code == 2
    assert not (project.root / "x.yaml").exists()


@pytest.mark.req("C-1")
def test_a_place_that_takes_no_files_is_named(project: Project) -> None:
    (project.root / "shop").mkdir()
    (project.root / "workflows").rename(project.root / "elsewhere")
    (project.root / "workflows").write_text("a file")
    assert project.say("new", "workflow", "greet") == (
        2,
        "",
        "error: workflows: File exists\n  = help: see that it is there, and that this user may use it\n",
    )


@pytest.mark.req("C-1")
def test_new_project_runs(project: Project) -> None:
    said = project.say("new", "project", "shop")
    assert said.out.splitlines()[-1] == "next: cd shop && reactor dev"
    assert project.say("--project", "shop", "validate").code == 0
    assert project.say("--project", "shop", "run", "hello", "-o", "json").json["outputs"] == {
        "greeting": "Hello, world!"
    }
    assert project.say("new", "project", "shop") == (
        2,
        "",
        "error: shop exists and is not empty\n  = help: name a new folder\n",
    )


def test_schema_is_json_schema(project: Project) -> None:
    schema = project.say("schema").json
    jsonschema.Draft202012Validator.check_schema(schema)
    http = project.say("schema", "--action", "http").json
    assert (http["title"], http["description"]) == ("http", "call an HTTP service")
    assert {"url", "json", "max_response"} <= set(http["properties"])
    assert project.say("schema", "--action", "htp") == (
        3,
        "",
        "error: there is no action `htp`\n  = help: did you mean http?\n",
    )


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ({"workflow": "w", "steps": [{"http": {"url": "http://a.test"}}]}, False),
        ({"workflow": "w", "steps": [{"http": {"urll": "http://a.test"}}]}, True),
        ({"workflow": "w", "when": [{"file": {"path": "in"}}], "steps": [{"log": {"message": "a"}}]}, False),
        ({"workflow": "w", "when": [{"file": {"paht": "in"}}], "steps": [{"log": {"message": "a"}}]}, True),
        ({"connections": {"broker": {"kafka": {"servers": ["a:9092"]}}}}, False),
        ({"connections": {"broker": {"kafka": {"server": ["a:9092"]}}}}, True),
    ],
)
def test_the_schema_knows_the_keys_of_actions_triggers_and_connections(
    project: Project, document: dict[str, Any], wrong: bool
) -> None:
    schema = jsonschema.Draft202012Validator(project.say("schema").json)
    assert schema.is_valid(document) is not wrong


def test_every_command_that_a_message_names_is_one() -> None:
    named = re.compile(r"`reactor ([a-z][a-z-]*(?: [a-z][a-z-]*)?)\b(?! \{)")
    root = Path(reactor.__file__).parent
    found = {
        (words, str(path.relative_to(root)))
        for part in LEVELS
        for path in ([root / "app.py"] if part == "app" else (root / part).rglob("*.py"))
        for words in named.findall(path.read_text())
    }
    assert len(found) > 30
    heads = {name.split()[0] for name in VERBS if " " in name}
    wrong = [
        (words, where)
        for words, where in sorted(found)
        if words not in VERBS and (words.split()[0] in heads or words.split()[0] not in VERBS)
    ]
    assert wrong == []


@pytest.mark.req("T-CRON-4")
def test_schedule_preview_lists_instants(project: Project) -> None:
    said = project.say("schedule", "preview", "0 9 * * *", "--timezone", "Europe/Berlin",
                       "--from", "2026-03-28T00:00:00Z", "--count", "2")  # fmt: skip
    assert said == (0, "2026-03-28T08:00:00Z\n2026-03-29T07:00:00Z\n", "")
    assert len(project.say("schedule", "preview", "30s", "-o", "json").json) == 10
    refused = project.say("schedule", "preview", "0 9 * *")
    assert (refused.code, refused.out) == (2, "")
    assert not (project.root / "reactor.db").exists()


def test_a_schedule_is_in_the_projects_time_zone(project: Project) -> None:
    (project.root / "reactor.yaml").write_text("server: {timezone: Europe/Berlin}\n")
    said = project.say("schedule", "preview", "0 9 * * *", "--from", "2026-01-01T00:00:00Z", "--count", "1")
    assert said.out == "2026-01-01T08:00:00Z\n"


def test_connections_are_listed_and_asked(project: Project) -> None:
    assert project.say("connection", "list").err == (
        "the project has no connections; declare them under `connections:` in reactor.yaml\n"
    )
    (project.root / "reactor.yaml").write_text("connections: {books: {sqlite: {path: books.db}}}\n")
    assert project.say("connection", "list", "-o", "json").json == [
        {"name": "books", "kind": "sqlite", "set_by": f"{project.root / 'reactor.yaml'}:1:22"}
    ]
    said = project.say("connection", "test", "books")
    assert said.code == 0
    assert said.out.startswith("books  ")
    assert project.say("connection", "test", "boks") == (
        3,
        "",
        "error: there is no connection `boks`\n  = help: did you mean books?\n",
    )


def test_secrets_are_listed_by_name_alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.say("secret", "list").err == (
        "there are no secrets; set REACTOR_SECRET_<NAME>, or name a file in `secrets.from`\n"
    )
    monkeypatch.setenv("REACTOR_SECRET_DB_PASSWORD", "swordfish")
    assert project.say("secret", "list") == (0, "db_password\n", "")


def test_tokens_are_shown_once(project: Project) -> None:
    made = project.say("token", "create", "ci", "--scope", "read", "--scope", "emit", "--role", "ops", "-o", "json")
    assert made.json["token"].startswith("rct_")
    (listed,) = project.say("token", "list", "-o", "json").json
    assert {k: listed[k] for k in ("name", "scopes", "roles")} == {
        "name": "ci", "scopes": ["read", "emit"], "roles": ["ops"],
    }  # fmt: skip
    assert made.json["token"] not in (project.root / ".reactor" / "tokens.json").read_text()
    assert project.say("token", "create", "ci").code == 2
    assert project.say("token", "revoke", "ci") == (0, "", "the token `ci` is revoked\n")
    assert project.say("token", "revoke", "ci") == (
        3,
        "",
        "error: there is no token `ci`\n  = help: there are: none\n",
    )


@pytest.mark.req("P-9")
@pytest.mark.req("P-16")
def test_doctor_says_who_set_what_and_masks_secrets(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "reactor.yaml").write_text(
        "server: {port: 9001, drain: 5s}\nstore: sqlite:///mine.db\nvars: {greeting: swordfish, plain: hi}\n"
    )
    monkeypatch.setenv("REACTOR_SECRET_DB_PASSWORD", "swordfish")
    monkeypatch.setenv("REACTOR_SERVER__HOST", "localhost")
    found = project.say("doctor", "-o", "json")
    assert found.code == 0
    assert "swordfish" not in found.out
    settings = {each["key"]: (each["value"], each["origin"], each["where"]) for each in found.json["settings"]}
    file = project.root / "reactor.yaml"
    assert settings["server.host"] == ("localhost", "environment", "REACTOR_SERVER__HOST")
    assert settings["server.port"] == (9001, "file", f"{file}:1:16")
    assert settings["server.drain"] == ("5s", "file", f"{file}:1:29")
    assert settings["retention.runs"] == ("30d", "default", "")
    assert settings["vars.greeting"] == ("***", "file", f"{file}:3:18")
    assert found.json["reactor"] == reactor.__version__
    assert found.json["secrets"] == ["db_password"]
    assert found.json["store"]["store_file"] == f"{project.root / 'mine.db'} (not made yet)"
    assert {"kafka", "nats", "postgres"} <= {each["extra"] for each in found.json["extras"]}
    assert found.json["libraries"]["msgspec"]
    as_table = project.say("doctor")
    assert as_table.code == 0
    assert "swordfish" not in as_table.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_verb(shell: str, project: Project) -> None:
    script = project.say("completion", shell)
    assert script.code == 0
    for name in VERBS:
        assert name.partition(" ")[2] or name in script.out
    if shutil.which(shell):
        subprocess.run([shell, "-n", "-c", script.out], check=True)


def test_bash_completes(project: Project) -> None:
    script, ask = project.say("completion", "bash").out, '_reactor; echo "${COMPREPLY[@]}"'
    for words, wanted in (
        (("reactor", "sche"), ["schema", "schedule"]),
        (("reactor", "dead-letters", "d"), ["drop"]),
        (("reactor", "run", "hello", "--det"), ["--detach"]),
        (("reactor", "trigger", "test", "--da"), ["--data"]),
    ):
        line = " ".join(f"'{word}'" for word in words)
        done = subprocess.run(
            [
                "bash",
                "-c",
                f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; {ask}",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert sorted(done.stdout.split()) == sorted(wanted)


def test_a_shell_without_completion(project: Project) -> None:
    assert project.say("completion", "tcsh") == (
        2,
        "",
        (
            "error: there is no completion for `tcsh`\n"
            "  = help: write bash, zsh or fish: `source <(reactor completion bash)`\n"
        ),
    )


def test_plugins_are_listed_begun_and_checked(project: Project) -> None:
    assert project.say("plugin", "list") == (0, "", "no plugin is installed; `reactor plugin new NAME` begins one\n")
    assert project.say("plugin", "list", "-o", "json").json == []
    said = project.say("plugin", "new", "reactor-serial")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "next: pip install -e reactor-serial && reactor plugin check reactor-serial"
    assert (project.root / "reactor-serial" / "pyproject.toml").is_file()
    assert project.say("plugin", "new", "reactor-serial") == (
        2,
        "",
        "error: reactor-serial is there already\n  = help: choose another name, or another folder\n",
    )
    assert project.say("plugin", "check", "reactor-odd") == (
        3,
        "",
        (
            "error: no installed plugin is called `reactor-odd`, and none supplies a kind or action of that name\n"
            "  = help: install it first: pip install -e FOLDER\n"
        ),
    )


def test_what_a_plugin_prints_as_it_is_imported_is_no_part_of_the_list(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, modules = {"reactor.actions": {"shout": "loud_one:Shout"}}, {"loud_one": ACTION + "print('hello')\n"}
    folder = install(tmp_path / "lib", "loud", points, modules)
    monkeypatch.syspath_prepend(str(folder))
    said = project.say("plugin", "list", "-o", "json")
    assert [(each["name"], each["state"]) for each in said.json] == [("shout", "loaded")]
    assert said.err == "hello\n"


@pytest.mark.parametrize(("outcome", "code"), [("passed", 0), ("failed", 1)])
def test_the_outcome_of_a_plugins_suite(
    outcome: Literal["passed", "failed"], code: int, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def checked(name: str) -> list[Checked]:
        tests = (Outcome("test_reads", "passed"), Outcome("test_settles", outcome, "lost one"))
        earned = "at_least_once" if outcome == "passed" else ""
        return [Checked("trigger", "serial", name, "1.0.0", "at_least_once", earned, tests)]

    monkeypatch.setattr("reactor.cli.plugins.check_plugin", checked)
    said = project.say("plugin", "check", "reactor-serial")
    last = "  guarantee: at_least_once\n" if code == 0 else ""
    assert said == (
        code,
        (
            f"trigger serial of reactor-serial 1.0.0: {outcome}\n"
            f"  passed   test_reads\n  {outcome}   test_settles: lost one\n{last}"
        ),
        "",
    )
    assert project.say("plugin", "check", "reactor-serial", "-o", "json").json[0]["passed"] is (code == 0)
