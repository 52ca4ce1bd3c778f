"""`serve` as a real process, and verbs that speak to it."""

import json
import signal
from collections.abc import Iterator

import aiohttp
import pytest

import reactor
from reactor.cli.place import find
from reactor.tests.cli.rig import BROKEN, BROKEN_TEXT, NAP, Process, Project, with_server


@pytest.fixture
def server(project: Project) -> Iterator[Process]:
    project.write(nap=NAP, beat="workflow: beat\nwhen: [{trigger: hourly}]\nsteps: [{log: {message: hi}}]\n")
    with_server(project, triggers={"hourly": {"cron": "0 * * * *"}})
    with project.start("serve") as child:
        yield child.ready()


def test_it_says_where_it_listens_and_what_is_in_force(project: Project) -> None:
    project.write(broken=BROKEN)
    port = with_server(project)
    with project.start("serve", env={"REACTOR_SERVR__DRAIN": "hunter2"}) as child:
        child.ready()
        assert child.err[:3] == [
            "warning: the environment variable REACTOR_SERVR__DRAIN is set, and nothing reads it",
            "  --> environment variable REACTOR_SERVR__DRAIN",
            "  = help: did you mean REACTOR_SERVER__DRAIN?",
        ]
        assert child.out == [
            f"Reactor {reactor.__version__} listens on http://127.0.0.1:{port}",
            "  workflows  1 in force, 1 file with errors",
            "  triggers   0",
            "  next       reactor list · reactor run NAME · reactor emit TYPE · reactor runs",
            "ready",
        ]
        told = BROKEN_TEXT.format(file=project.root / "workflows" / "broken.yaml").splitlines()
        child.until(lambda: told[-1] in child.err)
        assert [line for line in child.err if line in told] == told
        child.interrupt()
        assert child.ended() == 0
        assert child.err[-1] == "Ctrl-C: letting what is under way finish (at most 5 s)"


def test_sigterm_lets_steps_finish(project: Project) -> None:
    project.write(slow="workflow: slow\nsteps: [{name: s, command: {argv: [sleep, '1']}}]\n")
    with_server(project)
    with project.start("serve") as child:
        child.ready()
        run = project.say("run", "slow", "--detach").out.strip()
        child.signal(signal.SIGTERM)
        assert child.ended() == 0
    steps = project.say("status", run, "-o", "json").json["steps"]
    assert [step["state"] for step in steps] == ["completed"]


def test_a_second_ctrl_c_ends_at_once(project: Project) -> None:
    project.write(slow="workflow: slow\nsteps: [{name: s, command: {argv: [sleep, '30']}}]\n")
    with_server(project)
    with project.start("serve") as child:
        child.ready()
        project.say("run", "slow", "--detach")
        child.interrupt()
        child.until(lambda: any(line.startswith("Ctrl-C") for line in child.err))
        child.interrupt()
        assert child.ended() == 130
        assert child.err[-1] == "stopped at once: what was under way is taken up at the next start"


def test_a_second_server_names_the_first(server: Process, project: Project) -> None:
    said = project.say("serve")
    address = json.loads((project.root / "reactor.db.lock").read_text())["address"]
    assert said == (
        2,
        "",
        (
            f"error: the store {project.root / 'reactor.db'} is in use by process {server.pid} at {address}\n"
            "  --> store\n"
            "  = help: stop that process, or give this one a store of its own\n"
        ),
    )


def test_an_address_that_is_taken(server: Process, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACTOR_STORE", "sqlite:///other.db")
    port = int(json.loads((project.root / "reactor.db.lock").read_text())["address"].rpartition(":")[2])
    said = project.say("serve")
    assert said.code == 2
    assert said.err.endswith(
        f"error: the server cannot listen on 127.0.0.1:{port}: Address already in use\n"
        "  --> server.port\n"
        "  = help: another process may have the port: choose another `server.port`\n"
    )


def test_sighup_reads_the_files_again(server: Process, project: Project) -> None:
    project.write(late="workflow: late\nsteps: [{log: {message: hi}}]\n")
    server.signal(signal.SIGHUP)
    server.until(lambda: any("workflow late 0.0.0" in line for line in server.err))
    assert "late" in [line["name"] for line in project.say("list", "-o", "json").json]


def test_sighup_says_that_settings_are_read_at_the_start_alone(server: Process, project: Project) -> None:
    settings = project.root / "reactor.yaml"
    before = settings.read_text() if settings.exists() else ""
    settings.write_text(f"{before}\nvars: {{late: true}}\n")
    server.signal(signal.SIGHUP)
    server.until(lambda: "reactor.yaml: start again to let it take effect" in server.err)
    server.signal(signal.SIGHUP)
    server.until(lambda: server.err.count("reading the workflow files again") == 2)
    assert server.err.count("reactor.yaml: start again to let it take effect") == 1


@pytest.mark.req("P-13")
def test_logs_are_json_lines(project: Project) -> None:
    with_server(project)
    with project.start("serve", env={"REACTOR_SERVER__LOG__FORMAT": "json", "REACTOR_STOER": "hunter2"}) as child:
        child.ready()
        run = project.say("run", "hello", "-o", "json").json["id"]
        project.write(broken="workflow: broken\nsteps: [{lgo: {message: hi}}]\n")
        child.signal(signal.SIGHUP)
        child.until(lambda: any("`lgo` is neither" in line for line in child.err))
        child.interrupt()
        assert child.ended() == 0
    lines = [json.loads(line) for line in child.err]
    told = [(line["level"], line["message"]) for line in lines if line["logger"] == "reactor.serve"]
    assert told == [
        ("warning", "the environment variable REACTOR_STOER is set, and nothing reads it"),
        ("info", "reading the workflow files again"),
        ("error", "`lgo` is neither an action nor a key of a step"),
        ("info", "Ctrl-C: letting what is under way finish (at most 5 s)"),
    ]
    assert "hunter2" not in "".join(child.err)
    (broken,) = [line for line in lines if line["level"] == "error"]
    assert (broken["code"], broken["fields"]["line"]) == ("unknown_action", 2)
    about = [line for line in lines if line.get("run") == run]
    assert about
    assert {(line["step"], line["message"], line["level"]) for line in about} == {("told", "said hello world", "info")}


@pytest.mark.req("P-13")
def test_what_fails_is_in_the_log_with_its_run_step_and_error(project: Project) -> None:
    with_server(project)
    project.write(bad="workflow: bad\nsteps: [{name: pay, command: {argv: [sh, -c, 'exit 3']}}]\n")
    with project.start("serve", env={"REACTOR_SERVER__LOG__FORMAT": "json"}) as child:
        child.ready()
        run = project.say("run", "bad", "-o", "json").json["id"]
        child.interrupt()
        assert child.ended() == 0
    step, end = [line for line in map(json.loads, child.err) if line.get("run") == run]
    error = {name: step["error"][name] for name in ("code", "message")}
    assert error == {"code": "command.exit", "message": "`sh` ended with exit code 3"}
    assert (step["message"], step["workflow"], step["step"], step["attempt"]) == (
        "the step ended failed",
        "bad",
        "pay",
        1,
    )
    assert (end["message"], end["workflow"], end["error"]["code"]) == ("the run ended failed", "bad", "command.exit")


def test_a_process_that_was_killed_is_not_asked(server: Process, project: Project) -> None:
    server.signal(signal.SIGKILL)
    server.ended()
    said = project.say("list", "-o", "json")
    assert (said.code, said.err) == (0, "")


@pytest.mark.req("C-5")
@pytest.mark.req("E-EXE-2")
def test_verbs_speak_to_the_server_that_has_the_store(server: Process, project: Project) -> None:
    done = project.say("run", "hello", "-i", "name=Ada", "-o", "json")
    assert (done.code, done.json["outputs"], done.json["actor"]) == (0, {"text": "hello Ada"}, "api:local")
    nap = project.say("run", "nap", "--detach")
    assert nap.err == ""
    run = nap.out.strip()
    assert project.say("status", run, "-o", "json").json["state"] == "waiting"
    assert project.say("runs", "--state", "completed", "-o", "json").json[0]["id"] == done.json["id"]
    assert project.say("stop", run, "--reason", "test") == (0, f"{run}  cancelled\n", "")
    assert project.say("stop", run) == (
        2,
        "",
        f"error: the run {run} has ended: it is cancelled\n  = help: only open runs can be cancelled\n",
    )
    server.interrupt()
    assert server.ended() == 0
    after = project.say("status", run, "-o", "json").json
    assert (after["state"], after["progress"]) == ("cancelled", 0.0)


@pytest.mark.req("C-11")
def test_watch_in_a_pipe_prints_json_lines_as_they_come(server: Process, project: Project) -> None:
    project.write(two="workflow: two\nsteps: [{name: a, approval: {message: ok}}, {name: b, log: {message: hi}}]\n")
    server.signal(signal.SIGHUP)
    server.until(lambda: any("workflow two" in line for line in server.err))
    run = project.say("run", "two", "--detach").out.strip()
    with project.start("watch", run) as watch:
        watch.until(lambda: any('"waiting"' in line for line in watch.out))
        project.say("approve", run, "a")
        assert watch.ended() == 0
    lines = [json.loads(line) for line in watch.out]
    assert [line["name"] for line in lines if line["kind"] == "step" and line["state"] == "completed"] == ["a", "b"]
    assert lines[0] == {"kind": "run", "run": run, "state": "waiting", "progress": 0.0}, "before its steps"
    assert lines[-1] == {"kind": "run", "run": run, "state": "completed", "progress": 100.0}


def test_events_are_followed(server: Process, project: Project) -> None:
    with project.start("events", "--follow", "--type", "greet") as follower:
        follower.until(lambda: "waiting for events; Ctrl-C ends it" in follower.err)
        project.say("emit", "other")
        project.say("emit", "greet", "-d", '{"name": "Ada"}')
        follower.until(lambda: bool(follower.out))
        assert json.loads(follower.out[0])["type"] == "greet"
        follower.interrupt()
        assert follower.ended() == 130


@pytest.mark.req("T-GEN-7")
@pytest.mark.req("T-CRON-4")
def test_triggers_are_listed_tested_paused_and_resumed(server: Process, project: Project) -> None:
    (found,) = project.say("trigger", "list", "-o", "json").json
    assert (found["name"], found["state"], found["guarantee"]) == ("hourly", "connected", "effectively_once")
    assert len(found["details"]["next"]) == 3
    assert project.say("trigger", "pause", "hourly").out == "hourly  paused\n"
    assert project.say("trigger", "resume", "hourly").out == "hourly  connected\n"
    assert project.say("trigger", "test", "hourly").out.startswith("it would start: beat\n")
    assert project.say("runs", "-o", "json").json == []
    unknown = project.say("trigger", "pause", "hurly")
    assert (unknown.code, unknown.err.splitlines()[-1]) == (3, "  = help: did you mean hourly?")


def test_import_and_export_over_http(server: Process, project: Project) -> None:
    (project.root / "extra.yaml").write_text("workflow: extra\nsteps: [{log: {message: hi}}]\n")
    assert project.say("import", "extra.yaml").out == "extra 0.0.0 from extra.yaml\n"
    assert project.say("export", "extra").out.startswith("workflow: extra\n")
    assert project.say("delete", "extra").code == 0
    assert project.say("show", "extra").code == 3


def test_a_server_takes_a_run_together_with_the_event_that_it_is_to_see(server: Process, project: Project) -> None:
    (project.root / "e.json").write_text('{"type": "greet", "id": "g1", "data": {"name": "Ada"}}')
    said = project.say("run", "hello", "--event", "@e.json", "-o", "json")
    assert (said.code, said.json["outputs"], said.json["event"]["id"]) == (0, {"text": "hello Ada"}, "g1")
    (project.root / "e.json").write_text('{"id": "g1"}')
    address = server.out[0].rpartition(" ")[2]
    assert project.say("run", "hello", "--event", "@e.json") == (
        2,
        "",
        (f"error: the event has no `type`: CloudEvents require specversion, id, source and type\n  --> {address}\n"),
    )


def test_a_server_that_is_named_and_not_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    said = project.say("list", "--server", "http://127.0.0.1:9")
    assert said == (
        4,
        "",
        (
            "error: cannot reach the server at http://127.0.0.1:9: Connect call failed ('127.0.0.1', 9)\n"
            "  = help: start it with `reactor serve`, or name another with --server URL or REACTOR_URL\n"
        ),
    )
    monkeypatch.setenv("REACTOR_URL", "here")
    assert project.say("list") == (
        2,
        "",
        "error: `here` is no address of a server\n  = help: write http://127.0.0.1:8484\n",
    )


def test_a_token_is_sent(server: Process, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    address = json.loads((project.root / "reactor.db.lock").read_text())["address"]
    token = project.say("token", "create", "ci", "--scope", "read").out.strip()
    monkeypatch.setenv("REACTOR_URL", f"http://{address}")
    monkeypatch.setenv("REACTOR_TOKEN", token)
    assert project.say("list").code == 0
    refused = project.say("run", "hello")
    assert refused == (
        2,
        "",
        (
            "error: the token `ci` has the scopes read; this needs operate\n"
            f"  --> http://{address}\n"
            "  = help: use a token with the scope operate\n"
        ),
    )
    monkeypatch.delenv("REACTOR_TOKEN")
    (project.root / "token").write_text(token + "\n")
    monkeypatch.setenv("REACTOR_TOKEN_FILE", str(project.root / "token"))
    assert project.say("list").code == 0
    monkeypatch.setenv("REACTOR_TOKEN_FILE", str(project.root / "none"))
    assert project.say("list") == (
        2,
        "",
        (
            f"error: the token cannot be read from {project.root / 'none'}: No such file or directory\n"
            "  --> REACTOR_TOKEN_FILE\n"
            "  = help: check that the file exists, and who may read it\n"
        ),
    )


async def test_the_api_answers_while_it_serves(server: Process, project: Project) -> None:
    address = json.loads((project.root / "reactor.db.lock").read_text())["address"]
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}/readyz") as answer:
        assert answer.status == 200


def test_dev_reads_again_what_changes_and_keeps_what_was_good(project: Project) -> None:
    with_server(project)
    file = project.root / "workflows" / "hello.yaml"
    good = file.read_text()
    with project.start("dev") as child:
        child.ready()
        child.until(lambda: "watching workflows" in child.err)
        file.write_text(good.replace("hello ${{", "hi ${{"))
        child.until(lambda: "loaded: hello" in child.err)
        assert project.say("run", "hello", "-o", "json").json["outputs"] == {"text": "hi world"}
        file.write_text(BROKEN)
        kept = "workflows/hello.yaml: what was good of it stays in force until its errors are mended"
        child.until(lambda: kept in child.err)
        for line in BROKEN_TEXT.format(file=file).splitlines():
            assert line in child.err
        assert project.say("run", "hello", "-o", "json").json["outputs"] == {"text": "hi world"}
        child.interrupt()
        assert child.ended() == 0


def test_dev_runs_one_file_without_a_project(project: Project) -> None:
    project.write(other=NAP)
    with project.start("dev", "workflows/hello.yaml", env={"REACTOR_SERVER__PORT": "0"}) as child:
        child.ready()
        assert "  workflows  1 in force" in child.out
        url = child.out[0].rpartition(" ")[2]
        assert [line["name"] for line in project.say("list", "--server", url, "-o", "json").json] == ["hello"]
        child.interrupt()
        assert child.ended() == 0
    assert project.say("dev", "nowhere.yaml") == (
        2,
        "",
        "error: there is no file nowhere.yaml\n  = help: name a workflow file, or none for the whole project\n",
    )


def test_it_ends_with_4_when_the_store_fails(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from reactor.app import App
    from reactor.core.errors import StoreFailed

    with_server(project)
    opened = App.open

    async def failing(self: App) -> None:
        await opened(self)
        self._fatal(StoreFailed("the disk is gone", hint="look at it"))

    monkeypatch.setattr(App, "open", failing)
    said = project.say("serve")
    assert said.code == 4
    assert said.err.splitlines()[-2:] == ["error: the disk is gone", "  = help: look at it"]


@pytest.mark.broker("postgres")
def test_a_verb_finds_the_server_of_its_folder_with_postgresql_too(project: Project, postgres_url: str) -> None:
    project.write(slow="workflow: slow\nsteps: [{name: s, command: {argv: [sleep, '30']}}]\n")
    with_server(project, store=postgres_url)
    file = project.root / ".reactor" / "server.json"
    with project.start("serve") as child:
        child.ready()
        told = json.loads(file.read_bytes())
        assert "postgres" not in told["store"]
        run = project.say("run", "slow", "--detach")
        assert (run.code, run.err) == (0, "")
        assert project.say("cancel", run.out.strip()).code == 0
        assert project.say("status", run.out.strip(), "-o", "json").json["state"] == "cancelled"
        assert project.say("doctor", "-o", "json").json["store"]["store_in_use_by"] == (
            f"process {told['pid']} at {told['address']}"
        )
        child.interrupt()
        assert child.ended() == 0
    assert not file.exists()


@pytest.mark.broker("postgres")
def test_a_note_of_a_server_that_is_gone_or_of_another_store_is_not_believed(
    project: Project, postgres_url: str
) -> None:
    with_server(project, store=postgres_url)
    place = find(project.root, {})
    file = project.root / ".reactor" / "server.json"
    with place.told("127.0.0.1:1"):
        assert place.server() == ""  # it is this process
        told = json.loads(file.read_bytes())
        file.write_text(json.dumps(told | {"pid": 1}))
        assert place.server() == "http://127.0.0.1:1"
        file.write_text(json.dumps(told | {"pid": 1, "store": "another"}))
        assert place.server() == ""
        file.write_text("torn")
        assert place.server() == ""
    assert file.read_text() == "torn"  # not ours


@pytest.mark.broker("postgres")
def test_a_folder_that_may_not_be_written_is_no_reason_not_to_serve(project: Project, postgres_url: str) -> None:
    with_server(project, store=postgres_url)
    (project.root / ".reactor").write_text("a file")
    with find(project.root, {}).told("127.0.0.1:1"):
        assert find(project.root, {}).server() == ""
