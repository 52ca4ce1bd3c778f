"""What verbs print: JSON and YAML from each that did something, and words for what there is not."""

import json

import pytest
import yaml

from reactor.tests.cli.rig import HELLO, Project

STRICT = "workflow: strict\ninputs: {n: integer}\nwhen: [{event: count}]\nsteps: [{log: {message: n}}]\n"


def test_verbs_that_change_something_say_so_in_json_and_yaml(project: Project) -> None:
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        folder = project.root / form
        assert read(project.say("disable", "hello", "-o", form).out) == {"name": "hello", "enabled": False}
        assert read(project.say("enable", "hello", "-o", form).out) == {"name": "hello", "enabled": True}
        (project.root / "more.yaml").write_text(HELLO.replace("workflow: hello", f"workflow: by-{form}"))
        made = [{"name": f"by-{form}", "version": "1.2.0", "file": "more.yaml", "changed": True}]
        assert read(project.say("import", "more.yaml", "-o", form).out) == made
        assert read(project.say("delete", f"by-{form}", "-o", form).out) == {"name": f"by-{form}", "deleted": True}
        project.say("token", "create", "bob")
        assert read(project.say("token", "revoke", "bob", "-o", form).out) == {"name": "bob", "revoked": True}
        copy = project.root / f"{form}.db"
        found = read(project.say("store", "snapshot", str(copy), "-o", form).out)
        store = str(project.root / "reactor.db")
        assert found == {"file": str(copy), "bytes": copy.stat().st_size, "store": store}
        new = [f"{folder}/reactor.yaml", f"{folder}/.gitignore", f"{folder}/workflows/hello.yaml"]
        assert read(project.say("new", "project", str(folder), "-o", form).out) == {
            "files": new,
            "next": f"cd {folder} && reactor dev",
        }


def test_keys_of_json_are_words_for_programs(project: Project) -> None:
    (project.root / "reactor.yaml").write_text("connections: {books: {sqlite: {path: books.db}}}\n")
    project.say("run", "hello")
    (connection,) = project.say("connection", "list", "-o", "json").json
    assert connection == {"name": "books", "kind": "sqlite", "set_by": f"{project.root / 'reactor.yaml'}:1:22"}
    file = project.root / "reactor.db"
    checked = project.say("store", "check", "-o", "json").json
    assert checked.pop("log_bytes") in (None, 0)
    assert checked == {"store": str(file), "state": "sound", "bytes": file.stat().st_size, "in_use_by": None}
    assert project.say("doctor", "-o", "json").json["store"] == {
        "store": f"sqlite:///{file}", "store_file": str(file), "store_in_use_by": None,
    }  # fmt: skip
    assert project.say("connection", "list").out.splitlines()[0] == "NAME   KIND    SET BY"
    assert f"\nstore file  {file}\n" in project.say("doctor").out


def test_a_list_that_is_empty_for_its_tag_says_so(project: Project) -> None:
    assert project.say("list", "--tag", "nope") == (0, "", "there are no workflows with the tag `nope`\n")
    said = project.say("list", "--tag", "nope", "--tag", "greeting")
    assert said == (0, "", "there are no workflows with the tags `nope` and `greeting`\n")


def test_a_schedule_that_fires_no_more_says_so(project: Project) -> None:
    said = project.say("schedule", "preview", "2020-01-01T00:00:00Z")
    assert said == (0, "", "it does not fire any more: look from an earlier instant with --from\n")


@pytest.mark.req("T-GEN-8")
def test_an_event_that_is_a_dead_letter_is_so_when_it_comes_again(project: Project) -> None:
    project.write(strict=STRICT)
    words = ("emit", "count", "-d", '{"n": "one"}', "--id", "1")
    first = project.say(*words)
    again = project.say(*words)
    assert (again.code, again.out, again.err) == (2, first.out.replace("dead", "duplicate"), first.err)
    (letter,) = project.say("dead-letters", "list", "-o", "json").json
    refused = project.say("dead-letters", "retry", letter["id"])
    assert refused == (
        2,
        "",
        (
            'error: it failed again: inputs of `strict`: n: expected a whole number; found the text "one"\n'
            "  = help: mend what is wrong first, or put it aside: `reactor dead-letters drop`\n"
        ),
    )
    project.write(strict=STRICT.replace("integer", "string"))
    (run,) = project.say("dead-letters", "retry", letter["id"], "-o", "json").json["runs"]
    assert project.say(*words)[:2] == (0, first.out.replace("dead", f"duplicate  {run}"))
