"""Verbs on the store itself, where no server has it."""

import json
import re
import sys

import pytest
import yaml

from reactor.cli import output
from reactor.tests.cli.rig import BROKEN, BROKEN_TEXT, FAILS, NAP, Process, Project

LEFT = "no server has this store: what is left of the run goes on with `reactor serve`\n"


@pytest.mark.req("C-2")
def test_list_without_a_workflow_says_how_to_make_one(project: Project) -> None:
    (project.root / "workflows" / "hello.yaml").unlink()
    assert project.say("list") == (0, "", "there are no workflows; `reactor new workflow NAME` writes one\n")
    assert project.say("list", "-o", "json") == (0, "[]\n", "")


@pytest.mark.req("C-2")
def test_list_shows_name_version_triggers_state_and_last_run(project: Project) -> None:
    project.write(fails=FAILS)
    assert project.say("list").out == (
        "NAME   VERSION  TRIGGERS     STATE    LAST RUN\n"
        "fails  0.0.0    -            enabled  -\n"
        "hello  1.2.0    event greet  enabled  -\n"
    )
    assert [line["name"] for line in project.say("list", "--tag", "greeting", "-o", "json").json] == ["hello"]
    project.say("run", "hello")
    assert project.say("list", "-o", "json").json[1]["last_run"]["state"] == "completed"


def test_a_broken_file_is_named_and_the_others_are_there(project: Project) -> None:
    project.write(broken=BROKEN)
    said = project.say("list", "-o", "yaml")
    assert said.code == 0
    assert "name: hello" in said.out
    assert said.err == "warning: workflows/broken.yaml: not loaded for its errors; `reactor validate` shows them\n"


@pytest.mark.req("C-3")
def test_show_has_all_parts(project: Project) -> None:
    project.say("run", "hello")
    said = project.say("show", "hello")
    assert said.code == 0
    assert said.out.startswith(
        "workflow     hello 1.2.0\n"
        "description  Say hello\n"
        "state        enabled\n"
        "tags         greeting\n"
        "triggers     event greet\n"
        "inputs       name: string = world, times: integer = 1\n"
        "versions     1.2.0\n"
        "\n"
        "STEP  USES       NEEDS  COMPENSATE\n"
        "say   transform  -      no\n"
        "told  log        say    no\n"
        "\n"
        "LAST RUNS"
    )


@pytest.mark.req("E-EXE-4")
def test_show_prints_the_levels_of_the_plan(project: Project) -> None:
    project.write(wide="workflow: wide\nsteps:\n  a: {log: {message: a}}\n  b: {log: {message: b}}\n"
                       "  c: {needs: [a, b], log: {message: c}}\n")  # fmt: skip
    assert project.say("show", "wide", "--plan").out == "1. a, b\n2. c\n"
    assert project.say("show", "wide", "--versions").out == "0.0.0 (in force)\n"


@pytest.mark.req("C-3")
@pytest.mark.req("E-EXE-1")
@pytest.mark.parametrize("words", [("show",), ("run",), ("enable",), ("disable",), ("delete",), ("export",)])
def test_an_unknown_workflow_gets_the_nearest_name(words: tuple[str, ...], project: Project) -> None:
    said = project.say(*words, "helo")
    assert (said.code, said.out) == (3, "")
    assert said.err == "error: there is no workflow `helo`\n  = help: did you mean `hello`?\n"


@pytest.mark.req("C-4")
def test_run_follows_each_step_and_prints_the_outputs(project: Project) -> None:
    said = project.say("run", "hello", "--input", "name=Ada", "-i", "times=2")
    assert said.code == 0
    first, *rest = said.out.splitlines()
    assert first.split("  ")[1] == "completed"
    assert rest == ["text: hello Ada"]
    assert "  say  completed\n" in said.err
    assert "  told  completed\n" in said.err


@pytest.mark.req("E-EXE-1")
@pytest.mark.req("E-EXE-24")
def test_run_prints_the_run_as_json(project: Project) -> None:
    run = project.say("run", "hello", "-o", "json", "--label", "order=A1").json
    assert run["workflow"] == "hello"
    assert run["state"] == "completed"
    assert run["inputs"] == {"name": "world", "times": 1}
    assert run["outputs"] == {"text": "hello world"}
    assert run["error"] is None
    assert run["labels"] == {"who": "world", "order": "A1"}
    assert run == project.say("status", run["id"], "-o", "json").json


@pytest.mark.req("C-4")
def test_inputs_come_from_the_line_and_from_files(project: Project) -> None:
    (project.root / "name.txt").write_text("7")
    (project.root / "all.yaml").write_text("name: Bob\ntimes: 3\n")
    wanted = {
        ("name=12",): {"name": "12", "times": 1},
        ("times=12",): {"name": "world", "times": 12},
        ("name=@name.txt", "times=@name.txt"): {"name": "7", "times": 7},
        ("@all.yaml",): {"name": "Bob", "times": 3},
        ("@all.yaml", "times=4"): {"name": "Bob", "times": 4},
    }
    for given, inputs in wanted.items():
        words = [word for each in given for word in ("--input", each)]
        assert project.say("run", "hello", *words, "-o", "json").json["inputs"] == inputs


@pytest.mark.req("C-4")
def test_a_failed_run_ends_with_1_and_says_step_and_reason(project: Project) -> None:
    project.write(fails=FAILS)
    said = project.say("run", "fails", "-o", "json")
    assert said.code == 1
    run = said.json
    assert said.err.endswith(
        f"error: run {run['id']} of fails failed at step `second`: no luck\n"
        "  --> code unlucky\n"
        f"  = help: `reactor status {run['id']}` shows its steps, `reactor retry` runs them again\n"
    )
    again = project.say("watch", run["id"])
    assert again.code == 1
    assert json.loads(again.out.splitlines()[-1]) == {
        "kind": "run", "run": run["id"], "state": "failed", "progress": 50.0,
    }  # fmt: skip


@pytest.mark.req("C-4")
@pytest.mark.req("V-5")
def test_wrong_inputs_end_with_2(project: Project) -> None:
    assert project.say("run", "hello", "-i", "times=many") == (
        2,
        "",
        (
            'error: inputs of `hello`: times: expected a whole number; found the text "many"\n'
            "  = help: `reactor show hello` lists its inputs\n"
        ),
    )
    assert project.say("runs", "-o", "json").json == []


@pytest.mark.req("C-4")
def test_detach_prints_the_id_alone(project: Project) -> None:
    project.write(nap=NAP)
    said = project.say("run", "nap", "--detach")
    assert (said.code, said.err) == (0, LEFT)
    run = said.out.strip()
    status = project.say("status", run)
    assert status.code == 0
    assert f"run       {run}\nworkflow  nap 0.0.0\nstate     running\n" in status.out
    accepted = project.say("run", "nap", "--detach", "-o", "json").json
    assert project.say("status", accepted["id"], "-o", "json").json["id"] == accepted["id"]


def test_run_takes_an_event_and_its_fields_as_inputs(project: Project) -> None:
    (project.root / "event.json").write_text('{"type": "greet", "data": {"name": "Eve", "other": 1}}')
    run = project.say("run", "hello", "--event", "@event.json", "-o", "json").json
    assert run["inputs"] == {"name": "Eve", "times": 1}
    assert run["outputs"] == {"text": "hello Eve"}
    said = project.say("run", "hello", "--event", '{"type": "greet", "data": {"name": "Ada"}}', "-o", "json")
    assert said.json["outputs"] == {"text": "hello Ada"}


@pytest.mark.req("C-5")
def test_status_shows_state_progress_and_each_step(project: Project) -> None:
    run = project.say("run", "hello", "-o", "json").json["id"]
    said = project.say("status", run)
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[:4] == [f"run       {run}", "workflow  hello 1.2.0", "state     completed", "progress  100 %"]
    assert "STEP  STATE      ATTEMPTS  TOOK  ERROR" in said.out
    assert lines[-2:] == ["outputs", "  text: hello world"]


def test_status_names_the_place_of_a_failed_runs_error(project: Project) -> None:
    project.write(
        odd='workflow: odd\nsteps: [{name: a, state: {op: get, key: k}}]\noutputs: {x: "${{ steps.a.output.value.y }}"}'
    )
    run = project.say("run", "odd", "-o", "json").json["id"]
    assert "\nat        workflows/odd.yaml:3:10 (outputs)\n" in project.say("status", run).out


def test_watch_as_yaml_is_the_whole_run(project: Project) -> None:
    run = project.say("run", "hello", "-o", "json").json
    assert yaml.safe_load(project.say("watch", run["id"], "-o", "yaml").out) == run


def test_tables_of_runs_and_events_fit_80_columns(project: Project) -> None:
    key = project.say("emit", "greet", "--data", '{"name": "Ada"}', "--id", "1", "-o", "json").json["key"]
    project.say("run", "hello")
    tables = [project.say(verb).out.splitlines() for verb in ("runs", "events")]
    assert [len(table) for table in tables] == [3, 2]
    assert max(len(line) for table in tables for line in table) <= 80
    accepted = project.say("events", "-o", "json").json[0]["accepted_at"]
    assert tables[1][1].split()[:2] == [key, f"{accepted[:19]}Z"]


def test_an_event_that_a_run_waited_for_has_become_something(project: Project) -> None:
    project.write(waits="workflow: waits\nsteps: [{name: a, wait: {event: {type: paid}}}]\n")
    project.say("run", "waits", "--detach")
    said = project.say("emit", "paid")
    key = said.out.split()[0]
    assert said.out == f"{key}  accepted\n"
    assert said.err == f"it started no run: `reactor explain {key}` says what became of it\n"


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, None),
        (0, "0 ms"),
        (3.146, "3 ms"),
        (841.234, "841 ms"),
        (999.7, "1 s"),
        (14228.2, "14.2 s"),
        (59_970, "1m"),
        (5_400_000, "1h30m"),
    ],
)
def test_how_long_it_took_is_said_for_people(milliseconds: float | None, shown: str | None) -> None:
    assert output.took(milliseconds) == shown


@pytest.mark.parametrize("verb", ["status", "logs", "watch", "cancel", "pause", "resume", "retry", "rerun"])
def test_an_unknown_run_ends_with_3(verb: str, project: Project) -> None:
    said = project.say(verb, "9-9")
    assert (said.code, said.out) == (3, "")
    assert re.fullmatch(r"error: there is no run ([0-9a-f]{8}-)?9-9\n  = help: `reactor runs` lists them\n", said.err)


@pytest.mark.req("E-DEF-24")
def test_runs_are_filtered_and_paged(project: Project) -> None:
    ids = [project.say("run", "hello", "-i", f"name=n{i}", "-o", "json").json["id"] for i in range(3)]
    page = project.say("runs", "--limit", "2", "-o", "json")
    assert [run["id"] for run in page.json] == [ids[2], ids[1]]
    assert page.err == f"there are more: --cursor {ids[1]}\n"
    rest = project.say("runs", "--limit", "2", "--cursor", ids[1], "-o", "json")
    assert ([run["id"] for run in rest.json], rest.err) == ([ids[0]], "")
    assert [run["id"] for run in project.say("runs", "--label", "who=n1", "-o", "json").json] == [ids[1]]
    assert len(project.say("runs", "--since", "1h", "--state", "completed", "-o", "json").json) == 3
    assert project.say("runs", "--state", "failed") == (0, "", "there are no such runs\n")
    assert project.say("runs", "--state", "odd").code == 2
    assert project.say("runs").out.splitlines()[0].split() == [
        "RUN", "WORKFLOW", "STATE", "PROGRESS", "CREATED", "TOOK",
    ]  # fmt: skip


def test_logs_prints_what_steps_logged(project: Project) -> None:
    run = project.say("run", "hello", "-o", "json").json["id"]
    line = project.say("logs", run).out
    assert line.endswith(" info    told: said hello world\n")
    assert project.say("logs", run, "-o", "json").json[0]["message"] == "said hello world"


@pytest.mark.req("C-6")
@pytest.mark.req("E-CANC-3")
def test_stop_returns_when_the_run_is_stopped(project: Project) -> None:
    project.write(nap=NAP)
    run = project.say("run", "nap", "--detach").out.strip()
    assert project.say("stop", run, "--reason", "test") == (0, f"{run}  cancelled\n", "")
    whole = project.say("status", run, "-o", "json").json
    assert (whole["state"], whole["cancel"]["reason"]) == ("cancelled", "test")
    assert project.say("stop", run) == (
        2,
        "",
        f"error: the run {run} has ended: it is cancelled\n  = help: only open runs can be cancelled\n",
    )


def test_pause_resume_retry_and_rerun(project: Project) -> None:
    project.write(nap=NAP, fails=FAILS)
    run = project.say("run", "nap", "--detach").out.strip()
    assert project.say("pause", run).out == f"{run}  paused\n"
    assert project.say("resume", run).code == 0
    failed = project.say("run", "fails", "-o", "json").json["id"]
    assert project.say("retry", failed).code == 0
    assert project.say("watch", failed).code == 1
    again = project.say("rerun", failed)
    assert again.code == 0
    assert again.out.strip() != failed


def test_approve_answers_a_waiting_step(project: Project) -> None:
    project.write(asks="workflow: asks\nsteps: [{name: sure, approval: {message: Sure?}}]\n")
    started = project.say("run", "asks", "--detach")
    run = started.out.strip()
    assert project.say("approve", run, "sure", "--reason", "fine").code == 0
    assert project.say("watch", run).code == 0
    other = project.say("run", "asks", "--detach").out.strip()
    assert project.say("reject", other, "sure").code == 0
    assert project.say("watch", other).code == 1


@pytest.mark.req("T-EVT-3")
@pytest.mark.req("R-2")
def test_emit_starts_what_matches_and_explain_says_why_not(project: Project) -> None:
    said = project.say("emit", "greet", "--data", '{"name": "Ada"}', "-o", "json")
    assert (said.code, said.json["verdict"], len(said.json["runs"])) == (0, "accepted", 1)
    refused = project.say("emit", "greet", "--data", '{"name": "nobody"}', "-o", "json").json
    key = refused["key"]
    assert refused["runs"] == []
    told = project.say("explain", key)
    assert told.code == 0
    assert told.out.splitlines()[1:] == [
        "  hello when[0]: guard",
        '      when[0].if: event.data.name != "nobody" is false (event.data.name is "nobody")',
    ]
    assert project.say("explain", key, "hello", "-o", "json").json["findings"][0]["clause"] == "when[0].if"
    other = project.say("emit", "other").out.split()[0]
    assert 'type: expected "greet", found "other"' in project.say("explain", other).out


SENTENCE = """
workflow: sentence
when: [{event: order.paid}]            # X
unless: event.data.on_hold             # A
if: event.data.in_stock                # B
steps:
  - {name: pack, log: {message: Y}}
  - {name: ship, log: {message: Z}}
---
workflow: reader
when: [{event: reactor.run.completed, match: {subject: [sentence]}}]
steps: [{log: {message: "${{ event.subject }} is through"}}]
"""


@pytest.mark.req("P-1")
def test_when_x_do_y_then_z_unless_a_and_only_if_b(project: Project) -> None:
    project.write(sentence=SENTENCE)
    for on_hold, in_stock, runs in ((False, True, 1), (True, True, 0), (False, False, 0), (True, False, 0)):
        data = json.dumps({"on_hold": on_hold, "in_stock": in_stock})
        assert len(project.say("emit", "order.paid", "-d", data, "-o", "json").json["runs"]) == runs
    (run,) = project.say("runs", "--workflow", "sentence", "-o", "json").json
    assert run["state"] == "completed"
    assert [line["message"] for line in project.say("logs", run["id"], "-o", "json").json] == ["Y", "Z"]
    shown = project.say("events", "--type", "reactor.run.completed", "-o", "json").json
    assert [(event["subject"], event["data"]["run"]) for event in shown] == [("sentence", run["id"])]


def test_events_are_listed_and_replayed(project: Project) -> None:
    project.say("emit", "greet", "-d", '{"name": "Ada"}', "--id", "one", "--source", "/shop", "--subject", "s")
    found = project.say("events", "--type", "greet", "-o", "json").json[0]
    assert {k: found[k] for k in ("id", "source", "type", "subject", "data")} == {
        "id": "one", "source": "/shop", "type": "greet", "subject": "s", "data": {"name": "Ada"},
    }  # fmt: skip
    again = project.say("replay", found["key"], "-o", "json").json
    assert (again["verdict"], len(again["runs"])) == ("accepted", 1)
    assert len(project.say("runs", "-o", "json").json) == 2
    assert project.say("events", "--type", "none") == (0, "", "there are no such events\n")
    assert project.say("replay", "e9-9").code == 3
    assert project.say("events", "--follow") == (
        4,
        "",
        "error: no server has this store: nothing can come\n  = help: start one with `reactor serve`\n",
    )


@pytest.mark.req("T-GEN-8")
def test_dead_letters_are_listed_retried_and_dropped(project: Project) -> None:
    project.write(strict="workflow: strict\ninputs: {n: integer}\nwhen: [{event: count}]\n"
                         "steps: [{log: {message: n}}]\n")  # fmt: skip
    project.say("emit", "count", "-d", '{"n": "one"}')
    letter = project.say("dead-letters", "list", "-o", "json").json[0]
    assert (letter["workflow"], letter["state"]) == ("strict", "open")
    assert project.say("dead-letters", "retry", letter["id"]).code == 2
    project.write(strict="workflow: strict\ninputs: {n: string}\nwhen: [{event: count}]\n"
                         "steps: [{log: {message: n}}]\n")  # fmt: skip
    assert project.say("dead-letters", "retry", letter["id"]).out.startswith(f"{letter['id']}  retried  ")
    project.say("emit", "count", "-d", '{"n": 1}')
    other = project.say("dead-letters", "list", "-o", "json").json[0]
    assert project.say("dead-letters", "drop", other["id"]).out == f"{other['id']}  dropped\n"
    assert project.say("dead-letters", "list") == (0, "", "there are no such dead letters\n")


def test_enable_disable_delete(project: Project) -> None:
    assert project.say("disable", "hello").code == 0
    assert project.say("emit", "greet", "-d", '{"name": "A"}', "-o", "json").json["runs"] == []
    assert project.say("list", "-o", "json").json[0]["enabled"] is False
    assert project.say("enable", "hello").code == 0
    assert len(project.say("emit", "greet", "-d", '{"name": "A"}', "-o", "json").json["runs"]) == 1
    (project.root / "workflows" / "hello.yaml").unlink()
    assert project.say("list", "-o", "json").json == []


@pytest.mark.req("C-7")
@pytest.mark.req("C-8")
def test_export_and_import_keep_the_definition(project: Project) -> None:
    before = project.say("show", "hello", "-o", "json").json["definition"]
    exported = project.say("export", "hello").out
    as_json = project.say("export", "hello", "--format", "json")
    assert as_json.json["workflow"] == "hello"
    (project.root / "workflows" / "hello.yaml").unlink()
    file = project.root / "hello.yaml"
    file.write_text(exported)
    said = project.say("import", "hello.yaml")
    assert (said.code, said.out) == (0, "hello 1.2.0 from hello.yaml\n")
    assert project.say("show", "hello", "-o", "json").json["definition"] == before
    assert project.say("import", "hello.yaml") == (
        2,
        "",
        "error: there is already `hello`; nothing was imported\n  = help: replace it with --replace\n",
    )
    file.write_text(as_json.out)
    assert project.say("import", "--replace", "hello.yaml").out == "hello 1.2.0 from hello.yaml (as it was)\n"


@pytest.mark.req("C-7")
def test_import_takes_all_files_or_none(project: Project) -> None:
    (project.root / "good.yaml").write_text("workflow: good\nsteps: [{log: {message: hi}}]\n")
    (project.root / "bad.yaml").write_text(BROKEN)
    said = project.say("import", "good.yaml", "bad.yaml")
    assert (said.code, said.out) == (2, "")
    assert "`httpp` is neither an action nor a key of a step" in said.err
    assert [line["name"] for line in project.say("list", "-o", "json").json] == ["hello"]


@pytest.mark.req("V-1")
@pytest.mark.req("E-DEF-1")
def test_validate_shows_every_fault_with_a_caret(project: Project) -> None:
    assert project.say("validate") == (0, "hello 1.2.0: 2 steps\n", "")
    project.write(broken=BROKEN)
    said = project.say("validate")
    file = project.root / "workflows" / "broken.yaml"
    assert said == (2, BROKEN_TEXT.format(file=file) + "\nhello 1.2.0: 2 steps\n", "1 error in 1 of 2 files\n")
    as_json = project.say("validate", "workflows/broken.yaml", "-o", "json")
    assert as_json.code == 2
    assert as_json.json["valid"] is False
    assert [(d["code"], d["line"], d["column"]) for d in as_json.json["diagnostics"]] == [("unknown_action", 3, 7)]
    assert project.say("validate", "nowhere.yaml").err == (
        "error: there is no file nowhere.yaml\n  = help: name a workflow file, or a folder of them\n"
    )


@pytest.mark.req("E-STEP-5")
def test_strict_makes_a_warning_an_error(project: Project) -> None:
    project.write(lax="workflow: lax\nsteps: [{log: {message: a}, on_error: continue}]\n")
    said = project.say("validate", "workflows/lax.yaml")
    assert said.code == 0
    assert said.out.startswith("warning: ")
    assert project.say("validate", "--strict", "workflows/lax.yaml").code == 2


@pytest.mark.req("E-EXE-26")
def test_a_hint_is_told_and_is_no_error_even_if_strict(project: Project) -> None:
    project.write(wordy="workflow: wordy\nsteps: [{transform: 1}, {transform: 2, parallel: true}]\n")
    said = project.say("validate", "--strict", "workflows/wordy.yaml")
    assert (said.code, said.out.splitlines()[0]) == (
        0,
        "hint: `parallel: true` changes nothing: `step2` waits for `step1`",
    )


def test_a_fault_of_the_project_is_shown_with_a_caret(project: Project) -> None:
    (project.root / "reactor.yaml").write_text("server: {prot: 1}\n")
    for words in (("validate",), ("list",), ("serve",)):
        said = project.say(*words)
        assert said.code == 2
        told = said.out if words == ("validate",) else said.err
        assert f"--> {project.root / 'reactor.yaml'}:1:10 (server.prot)" in told
        assert "= help: did you mean port?" in told


def test_validate_tells_what_is_probably_not_meant_in_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "reactor.yaml").write_text("secrets: {from: [env, {file: gone.yaml}]}\n")
    monkeypatch.setenv("REACTOR_STOER", "hunter2")
    told = f"""\
warning: there is no file `gone.yaml`: no secret is found in it
  --> {project.root / "reactor.yaml"}:1:30 (secrets.from[1].file)
 1 | secrets: {{from: [env, {{file: gone.yaml}}]}}
   |                              ^^^^^^^^^
  = help: write it with one `name: value` a line, or take it out of `secrets.from`

warning: the environment variable REACTOR_STOER is set, and nothing reads it
  --> environment variable REACTOR_STOER
  = help: did you mean REACTOR_STORE?

hello 1.2.0: 2 steps
"""
    assert project.say("validate") == (0, told, "")
    assert project.say("validate", "--strict").code == 2


def test_real_processes_agree(project: Project) -> None:
    with Process(("run", "hello", "-o", "json"), project.root) as child:
        assert child.ended() == 0
        assert json.loads("\n".join(child.out))["state"] == "completed"
    with Process(("status", "9-9"), project.root) as child:
        assert child.ended() == 3


def test_a_terminal_gets_a_table_in_colour(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.say("run", "hello")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    said = project.say("runs")
    assert "\x1b[32mcompleted" in said.out
    assert "hello 1.2.0" in said.out


def test_what_events_hold_cannot_steer_a_terminal(project: Project) -> None:
    project.say("emit", "greet", "-d", '{"name": "A"}', "--subject", "x", "--source", "/\x1b[2J")
    assert "\x1b" not in project.say("events").out


def test_yaml_reads_back_equal(project: Project) -> None:
    run = project.say("run", "hello", "-i", "name=yes", "-o", "json").json["id"]
    shown = yaml.safe_load(project.say("status", run, "-o", "yaml").out)
    assert shown == project.say("status", run, "-o", "json").json
