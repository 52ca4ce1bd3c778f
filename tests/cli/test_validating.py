"""`validate` over a project whose `reactor.yaml` is broken: every error at once, and none that follows from another."""

import pytest

from reactor.tests.cli.rig import BROKEN, BROKEN_TEXT, Project

USES = """\
workflow: uses
when: [{trigger: orders}]
steps:
  - {name: ask, sql: {connection: main, query: "select 1"}}
  - {name: other, sql: {query: "select 2"}}
  - {name: say, log: {message: "${{ vars.greeting }} ${{ env.REGION }}"}}
"""
SOUND = """\
connections: {main: {postgres: {url: "postgresql://localhost/a"}}}
triggers: {orders: {every: 1h}}
vars: {greeting: hello}
env: [REGION]
"""
FALSE_CONNECTION = SOUND.replace('"postgresql://localhost/a"', "[5]")
FALSE_TRIGGER = SOUND.replace("every: 1h", "every: soon")
FALSE_KEY = SOUND.replace("connections:", "conections:")
FALSE_VARS = SOUND.replace("{greeting: hello}", "[greeting]")
FALSE_ENV = SOUND.replace("[REGION]", "{REGION: 1}")
UNREADABLE = SOUND + "bus: {jetstream\n"


@pytest.mark.req("V-1")
@pytest.mark.parametrize("settings", [FALSE_CONNECTION, FALSE_TRIGGER, FALSE_KEY, FALSE_VARS, FALSE_ENV, UNREADABLE])
def test_errors_of_the_settings_hide_none_of_the_workflows_and_make_none(settings: str, project: Project) -> None:
    project.write(uses=USES)
    (project.root / "reactor.yaml").write_text(SOUND)
    assert project.say("validate") == (0, "hello 1.2.0: 2 steps\nuses 0.0.0: 3 steps\n", "")
    project.write(broken=BROKEN)
    (project.root / "reactor.yaml").write_text(settings)
    said = project.say("validate")
    assert said.code == 2
    first, _, rest = said.out.partition("\n\n")
    assert first.startswith("error: ")
    assert f"--> {project.root / 'reactor.yaml'}:" in first
    file = project.root / "workflows" / "broken.yaml"
    assert rest == BROKEN_TEXT.format(file=file) + "\nhello 1.2.0: 2 steps\nuses 0.0.0: 3 steps\n"
    assert said.err == "2 errors in 2 of 4 files\n"
    found = project.say("validate", "-o", "json").json
    assert found["valid"] is False
    assert [each["file"] for each in found["diagnostics"]] == [str(project.root / "reactor.yaml"), str(file)]
    assert [each["name"] for each in found["workflows"]] == ["hello", "uses"]
    one = project.say("validate", "workflows/hello.yaml")
    assert (one.code, one.out, one.err) == (2, first + "\n\nhello 1.2.0: 2 steps\n", "1 error in 1 of 2 files\n")


def test_what_the_settings_do_say_is_judged(project: Project) -> None:
    project.write(uses=USES.replace("main", "mian"))
    (project.root / "reactor.yaml").write_text("server: {prot: 1}\n" + SOUND)
    said = project.say("validate", "workflows")
    assert said == (
        2,
        f"""\
error: `prot` is not a key of `server`
  --> {project.root / "reactor.yaml"}:1:10 (server.prot)
 1 | server: {{prot: 1}}
   |          ^^^^
  = found: prot
  = help: did you mean port?

error: there is no connection `mian`
  --> workflows/uses.yaml:4:35 (steps[0].sql.connection)
 4 |   - {{name: ask, sql: {{connection: mian, query: "select 1"}}}}
   |                                   ^^^^
  = found: mian
  = help: did you mean main?

hello 1.2.0: 2 steps
""",
        "2 errors in 2 of 3 files\n",
    )


def test_an_environment_variable_that_cannot_be_read_is_told_beside_the_rest(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(broken=BROKEN)
    monkeypatch.setenv("REACTOR_SERVER", "{port: 1")
    said = project.say("validate")
    assert said.code == 2
    assert said.out.startswith("error: ")
    assert "--> environment variable REACTOR_SERVER" in said.out
    assert "`httpp` is neither an action nor a key of a step" in said.out
