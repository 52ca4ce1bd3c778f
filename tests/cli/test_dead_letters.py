"""Events that no workflow can take, by the command line: their end is no success, and says what to do."""

import pytest
import yaml

from reactor.tests.cli.rig import Project

STRICT = "workflow: strict\ninputs: {n: integer}\nwhen: [{event: count}]\nsteps: [{log: {message: n}}]\n"


@pytest.mark.req("T-GEN-8")
def test_an_event_that_became_a_dead_letter_ends_with_2_and_says_why(project: Project) -> None:
    project.write(strict=STRICT)
    said = project.say("emit", "count", "-d", '{"n": "one"}')
    key = said.out.split()[0]
    told = (
        f"error: the event {key} is a dead letter: inputs of `strict`: n: expected a whole number; "
        'found the text "one"\n'
        "  --> code invalid_input\n"
        "  = help: `reactor dead-letters list` shows it; `reactor dead-letters retry` takes it again, "
        "once what is wrong is mended\n"
    )
    assert said == (2, f"{key}  dead\n", told)
    as_json = project.say("emit", "count", "-d", '{"n": "one"}', "-o", "json")
    assert (as_json.code, as_json.json["verdict"], as_json.json["error"]["code"]) == (2, "dead", "invalid_input")
    assert as_json.err == told.replace(key, as_json.json["key"])
    again = project.say("replay", key, "-o", "yaml")
    found = yaml.safe_load(again.out)
    assert (again.code, found["verdict"], found["error"]["code"]) == (2, "dead", "invalid_input")
    assert again.err == told.replace(key, found["key"])


def test_an_event_that_started_nothing_is_taken(project: Project) -> None:
    said = project.say("emit", "nobody.wants.it")
    key = said.out.split()[0]
    assert said == (0, f"{key}  unmatched\n", f"it started no run: `reactor explain {key}` says why\n")
