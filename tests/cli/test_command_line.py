"""Words and options, help, refusals: before any verb does its work."""

import subprocess
import sys

import pytest

import reactor
from reactor.cli.verbs import HEADS, UNAVAILABLE, VERBS
from reactor.tests.cli.rig import COMMAND, LIMIT_S, Project

# Every verb of the language, section 6, options of verbs in their own table below.
LANGUAGE = """
dev; serve; demo; new project; new workflow; new plugin; validate; schema; list; show; run; emit; status; runs; watch;
logs; explain; backtest; schedule preview; cancel; stop; pause; resume; retry; rerun; enable; disable; delete; migrate;
approve; reject; events; replay; dead-letters list; dead-letters retry; dead-letters drop; trigger list; trigger test;
trigger pause; trigger resume; trigger fire; cache list; cache clear; plugin list; plugin new; plugin check;
connection list; connection test; secret set; secret list; secret rm; test; import; export; template search;
template use; template publish; store migrate; store check; store snapshot; store restore; token create; token list;
token revoke; doctor; bench; shell; completion
"""
OPTIONS = {
    "validate": ("fix", "strict"),
    "show": ("versions", "diff", "plan"),
    "run": ("input", "event", "wait", "detach", "version", "debug", "trace-steps", "profile"),
    "emit": ("data",),
    "runs": ("label",),
    "schedule preview": ("timezone", "from", "count"),
    "cancel": ("reason", "force"),
    "retry": ("compensation",),
    "events": ("follow",),
    "serve": ("role",),
}
NAMES = [name.strip() for name in LANGUAGE.replace("\n", " ").split(";")]


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_of_the_language_is_there_or_refused(name: str, project: Project) -> None:
    if name in VERBS:
        said = project.say(*name.split(), "--help")
        assert said.code == 0
        assert said.out.startswith(VERBS[name].summary + ".\n\nUsage: reactor " + name)
        return
    said = project.say(*name.split(), "something")
    assert said == (
        2,
        "",
        f"error[unavailable]: `reactor {name}` is not available in this version\n  = help: {UNAVAILABLE[name]}\n",
    )


def test_nothing_is_there_that_the_language_has_not() -> None:
    assert {*VERBS, *UNAVAILABLE} == set(NAMES)
    assert not set(VERBS) & set(UNAVAILABLE)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_the_language_is_there_or_refused(name: str) -> None:
    verb = VERBS[name]
    assert set(OPTIONS[name]) <= {option.name for option in verb.options} | set(verb.unavailable)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("validate", "--fix"), "change the file by the hints that are shown"),
        (("run", "x", "--debug"), "`reactor logs RUN` and `reactor status RUN` show what happened"),
        (("run", "x", "--profile", "f"), "`reactor status RUN -o json` has every step with its times"),
        (("run", "x", "--trace-steps"), "`reactor status RUN -o json` has every step with its times"),
        (("show", "x", "--diff", "1", "2"), "compare the two outputs of `reactor export NAME@VERSION`"),
    ],
)
def test_options_that_are_not_carried_out_are_refused(words: tuple[str, ...], instead: str, project: Project) -> None:
    option = next(word for word in words if word.startswith("--"))
    assert project.say(*words) == (
        2,
        "",
        f"error[unavailable]: `reactor {words[0]} {option}` is not available in this version\n  = help: {instead}\n",
    )


def test_a_role_of_its_own_is_refused(project: Project) -> None:
    assert project.say("serve", "--role", "worker") == (
        2,
        "",
        (
            "error[unavailable]: the role `worker` is not available in this version\n"
            "  = help: leave --role out: every process does all\n"
        ),
    )


@pytest.mark.req("C-10")
def test_help_lists_all_verbs(project: Project) -> None:
    said = project.say("--help")
    assert said.code == 0
    for name in VERBS:
        assert f"  {name} " in said.out
    for name in UNAVAILABLE:
        assert f"\n  {name} " not in said.out
    assert project.say().out == said.out
    assert project.say().code == 2


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_first_word_alone_lists_what_may_follow(head: str, project: Project) -> None:
    said = project.say(head)
    assert said.code == 2
    assert said.out.startswith(f"Usage: reactor {head} VERB [...]\n\nVerbs:\n  {head} ")
    assert project.say(head, "--help") == (0, said.out, "")


@pytest.mark.req("P-16")
def test_the_version_is_the_packages(project: Project) -> None:
    assert project.say("--version") == (0, reactor.__version__ + "\n", "")


def test_it_is_a_module_too(project: Project) -> None:
    """Started by an interpreter, where its programs are not on the path."""
    said = subprocess.run([sys.executable, "-P", "-m", "reactor", "nothing"], capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == project.say("nothing")


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("run", "--help"), ("trigger",)])
def test_help_imports_nothing_but_the_table(words: tuple[str, ...]) -> None:
    code = (
        "import sys; before = set(sys.modules); from reactor.cli.main import main; main(sys.argv[1:]);"
        "print(sorted(name for name in set(sys.modules) - before), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=True)
    loaded = eval(said.stderr)
    assert [name for name in loaded if name.startswith("reactor")] in (
        ["reactor", "reactor.cli", "reactor.cli.help", "reactor.cli.main", "reactor.cli.verbs"],
        ["reactor", "reactor.cli", "reactor.cli.main", "reactor.cli.verbs"],
    )
    assert not {name for name in loaded if not name.startswith("reactor")} & {
        "msgspec", "yaml", "asyncio", "aiohttp", "argparse", "json", "rich", "pydantic",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rum",), "there is no verb `rum`\n  = help: did you mean run?"),
        (("trigger", "lst"), "`reactor trigger` has no verb `lst`\n  = help: did you mean list?"),
        (("run", "x", "--inptu", "a=1"), "`reactor run` has no option --inptu\n  = help: did you mean --input?"),
        (
            ("serve", "--port", "80"),
            ("`reactor serve` has no option --port\n"
            "  = help: it is a setting: `server: {port: …}` in reactor.yaml, or REACTOR_SERVER__PORT in the"
            " environment"),
        ),
        (("serve", "--rolle", "all"), "`reactor serve` has no option --rolle\n  = help: did you mean --role?"),
        (
            ("run",),
            ("`reactor run` needs NAME: a workflow's name, or name@range for a version of it\n"
            "  = help: reactor run NAME [OPTIONS]; `reactor run --help` says more"),
        ),
        (
            ("status", "a", "b"),
            ("`reactor status` takes no further word; found `b`\n"
            "  = help: reactor status RUN; `reactor status --help` says more"),
        ),
        (
            ("list", "-o", "xml"),
            ("--output takes table, json, yaml; found `xml`\n"
            "  = help: reactor list [OPTIONS]; `reactor list --help` says more"),
        ),
        (
            ("runs", "--limit", "many"),
            ("--limit takes a whole number; found `many`\n"
            "  = help: reactor runs [OPTIONS]; `reactor runs --help` says more"),
        ),
        (
            ("runs", "--limit", "0"),
            ("--limit takes at least 1; found `0`\n"
            "  = help: reactor runs [OPTIONS]; `reactor runs --help` says more"),
        ),
        (
            ("schedule", "preview", "90s", "--count", "0"),
            ("--count takes at least 1; found `0`\n"
            "  = help: reactor schedule preview SPEC [OPTIONS]; `reactor schedule preview --help` says more"),
        ),
        (
            ("runs", "--limit"),
            ("--limit needs a value: at most so many rows; 50 by default\n"
            "  = help: reactor runs [OPTIONS]; `reactor runs --help` says more"),
        ),
        (
            ("run", "x", "--wait=yes"),
            "--wait takes no value; found `yes`\n  = help: reactor run NAME [OPTIONS]; `reactor run --help` says more",
        ),
        (
            ("runs", "--state", "failed", "--workflow", "a", "--workflow", "b"),
            "--workflow is given twice\n  = help: reactor runs [OPTIONS]; `reactor runs --help` says more",
        ),
        (
            ("validate", "--server", "http://h"),
            ("`reactor validate` works on the project's folder: it speaks to no server\n"
            "  = help: reactor validate [FILES ...] [OPTIONS]; `reactor validate --help` says more"),
        ),
        (
            ("run", "x", "--wait", "--detach"),
            "--wait and --detach cannot be given together\n  = help: give one of them",
        ),
        (
            ("run", "hello", "-i", "name"),
            "--input takes K=V, K=@FILE or @FILE; found `name`\n  = help: such as --input order_id=A1",
        ),
        (
            ("run", "hello", "-i", "name=@nowhere"),
            ("the file nowhere cannot be read: No such file or directory\n"
            "  = help: check its name, and who may read it"),
        ),
        (("run", "hello", "--label", "x"), "--label takes K=V; found `x`\n  = help: such as --label order=A1"),
        (
            ("emit", "greet", "-d", "{"),
            ("--data takes JSON or @FILE: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
            "  = help: such as '{\"total\": 150}'"),
        ),
        (
            ("runs", "--since", "soon"),
            ("`soon` is neither an instant nor a duration\n"
            "  = help: write 2030-03-31T00:00:00Z, or how long ago: 30m, 2h, 7d"),
        ),
    ],
)  # fmt: skip
def test_wrong_use_is_told_with_its_remedy(words: tuple[str, ...], message: str, project: Project) -> None:
    assert project.say(*words) == (2, "", f"error: {message}\n")


def test_a_folder_that_is_not_there(project: Project) -> None:
    folder = project.root / "nowhere"
    assert project.say("--project", str(folder), "list") == (
        2,
        "",
        f"error: there is no folder {folder}\n  = help: name the project's folder with --project DIR\n",
    )


def test_options_stand_before_the_verb_after_it_and_between_its_words(project: Project) -> None:
    one = project.say("-o", "json", "--project", str(project.root), "list")
    two = project.say("list", f"--project={project.root}", "-ojson")
    three = project.say("show", "--output", "json", "hello", "--versions")
    assert one.json == two.json
    assert three.json == {"name": "hello", "current": "1.2.0", "versions": ["1.2.0"]}
    assert project.say("trigger", "-o", "json", "list").json == []


def test_words_after_two_dashes_are_no_options(project: Project) -> None:
    assert project.say("show", "--", "--help").code == 3


def test_debug_shows_the_traceback(project: Project) -> None:
    said = project.say("--debug", "status", "1-1")
    assert said.code == 3
    assert said.err.startswith("Traceback (most recent call last):")
    assert "Answered: there is no run 1-1" in said.err


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} --help | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


@pytest.mark.parametrize("words", ["--help", "--version"])  # one is larger than what Python keeps back, one is not
def test_an_output_that_cannot_be_written_is_told(words: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S)
    said = "error: what there is to write cannot be written: No space left on device\n  = help: make room for it\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_none(project: Project, closed: str) -> None:
    command = ["bash", "-c", f"{' '.join(COMMAND)} list {closed}"]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
