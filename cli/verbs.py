"""Every verb as data: what help shows, what is read from the command line, and which module carries it out.

Nothing is imported here, so that help costs no more than starting Python. Source: the language page, section 6.
"""

from __future__ import annotations


class Arg:
    """A positional word. `many`: one or more; with `optional`, none or more."""

    __slots__ = ("help", "many", "name", "optional")

    def __init__(self, name: str, help: str, *, optional: bool = False, many: bool = False) -> None:
        self.name = name
        self.help = help
        self.optional = optional
        self.many = many


class Opt:
    """An option. Without `metavar` it is a flag; `many` may be given several times; `count` is a whole number, of at
    least `least`.
    """

    __slots__ = ("choices", "count", "help", "least", "many", "metavar", "name", "short")

    def __init__(
        self,
        name: str,
        metavar: str,
        help: str,
        *,
        short: str = "",
        many: bool = False,
        count: bool = False,
        least: int = 0,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.short = short
        self.many = many
        self.count = count
        self.least = least
        self.choices = choices


class Verb:
    """One verb, of one word or two.

    `target`: who carries it out. `speaks`: it is given a client, which beside no server opens the store to `look` at it
    or to `act` on it, that is to carry on with the runs under way; `files`: then also reads the workflow files.
    `unavailable`: options of the language that this version refuses, with what there is in their place.
    """

    __slots__ = ("args", "files", "name", "options", "speaks", "summary", "target", "text", "unavailable")

    def __init__(
        self,
        name: str,
        summary: str,
        target: str,
        *what: Arg | Opt,
        speaks: str = "",
        files: bool = False,
        text: str = "",
        unavailable: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.summary = summary
        self.target = target
        self.args = [each for each in what if isinstance(each, Arg)]
        self.options = [each for each in what if isinstance(each, Opt)]
        self.speaks = speaks
        self.files = files
        self.text = text
        self.unavailable = unavailable or {}


GLOBAL = (
    Opt("project", "DIR", "the project's folder; the current one by default"),
    Opt("output", "FORMAT", "table, json or yaml", short="o", choices=("table", "json", "yaml")),
    Opt("server", "URL", "speak to this server; also REACTOR_URL, with the token in REACTOR_TOKEN(_FILE)"),
    Opt("debug", "", "show the traceback of an error"),
)

_NAME = Arg("name", "a workflow's name, or name@range for a version of it")
_RUN = Arg("run", "a run's id")
_REASON = Opt("reason", "TEXT", "why, for the run's history")
_LIMIT = Opt("limit", "N", "at most so many rows; 50 by default", count=True, least=1)

START = (
    Verb(
        "demo",
        "See Reactor at work: example workflows, events and runs",
        ".demonstration:demo",
        Arg("folder", "where to keep it; a temporary folder by default", optional=True),
        Opt("port", "N", "where its API listens; 8484, or any free one", count=True),
    ),
    Verb(
        "new project",
        "Make a project's folder with a first workflow",
        ".new:project",
        Arg("folder", "the folder to make"),
    ),
    Verb(
        "new workflow",
        "Write a workflow file to begin with",
        ".new:workflow",
        Arg("workflow", "the workflow's name"),
    ),
    Verb(
        "dev",
        "Run the project or one file; reload it whenever it changes",
        ".dev:dev",
        Arg("file", "one workflow file, in place of the project's", optional=True),
    ),
    Verb(
        "serve",
        "Run the project: triggers, workflows and the HTTP API",
        ".serve:serve",
        Opt("role", "ROLE", "what this process does: all"),
        text="SIGTERM or Ctrl-C lets what is under way finish within `server.drain` and ends with 0; a second Ctrl-C\n"
        "ends at once. SIGHUP reads the workflow files again.",
    ),
)
WORKFLOWS = (
    Verb(
        "validate",
        "Check workflow files and the project",
        ".validate:validate",
        Arg("files", "files or folders; the project's by default", optional=True, many=True),
        Opt("strict", "", "a warning is an error too"),
        unavailable={"fix": "change the file by the hints that are shown"},
    ),
    Verb(
        "schema",
        "Print the JSON Schema of files, for editors",
        ".schema:schema",
        Opt("action", "NAME", "that of an action's `with` alone"),
    ),
    Verb(
        "list",
        "List the workflows",
        ".workflows:list_",
        Opt("tag", "TAG", "only those with this tag", many=True),
        speaks="look",
        files=True,
    ),
    Verb(
        "show",
        "Show a workflow: steps, triggers, inputs, versions, last runs",
        ".workflows:show",
        _NAME,
        Opt("plan", "", "the levels of steps that run side by side"),
        Opt("versions", "", "its versions alone"),
        speaks="look",
        files=True,
        unavailable={"diff": "compare the two outputs of `reactor export NAME@VERSION`"},
    ),
    Verb(
        "run",
        "Start a run, and follow it to its end",
        ".run:run",
        _NAME,
        Opt("input", "K=V", "an input; K=@FILE takes it from a file, @FILE all of them", short="i", many=True),
        Opt("event", "JSON", "the event that the run is to see, as JSON or @FILE"),
        Opt("wait", "", "follow the run to its end (the default)"),
        Opt("detach", "", "print the run's id, and do not wait"),
        Opt("version", "RANGE", "the version to run, such as 1.2.0 or ^1"),
        Opt("label", "K=V", "a label to find the run by", many=True),
        speaks="act",
        files=True,
        unavailable={
            "debug": "`reactor logs RUN` and `reactor status RUN` show what happened",
            "trace-steps": "`reactor status RUN -o json` has every step with its times",
            "profile": "`reactor status RUN -o json` has every step with its times",
        },
    ),
    Verb("enable", "Let a workflow's events start runs again", ".workflows:enable", _NAME, speaks="look", files=True),
    Verb("disable", "Let a workflow's events start nothing", ".workflows:disable", _NAME, speaks="look", files=True),
    Verb(
        "delete",
        "Take a workflow out of force; its open runs end normally",
        ".workflows:delete",
        _NAME,
        speaks="look",
        files=True,
    ),
    Verb(
        "import",
        "Put workflows of files in force: all of them or none",
        ".workflows:import_",
        Arg("files", "YAML or JSON files", many=True),
        Opt("replace", "", "also those whose name is taken"),
        speaks="look",
        files=True,
    ),
    Verb(
        "export",
        "Print a workflow as a file that can be imported",
        ".workflows:export",
        _NAME,
        Opt("format", "FORMAT", "yaml (the default) or json", choices=("yaml", "json")),
        speaks="look",
        files=True,
    ),
)
RUNS = (
    Verb("status", "Show a run: state, progress, each step", ".runs:status", _RUN, speaks="look"),
    Verb(
        "runs",
        "List runs, newest first",
        ".runs:runs",
        Opt("workflow", "NAME", "of this workflow"),
        Opt("state", "STATE", "in this state", many=True),
        Opt("tag", "TAG", "of workflows with this tag", many=True),
        Opt("label", "K=V", "with this label"),
        Opt("since", "T", "created since this instant, or in the last such as 7d"),
        Opt("cursor", "C", "go on after the page before"),
        _LIMIT,
        speaks="look",
    ),
    Verb("watch", "Follow a run live, and end with its result", ".follow:watch", _RUN, speaks="act"),
    Verb("logs", "Print what a run's steps logged", ".runs:logs", _RUN, speaks="look"),
    Verb(
        "cancel",
        "Cancel a run; returns when it has ended",
        ".signals:cancel",
        _RUN,
        _REASON,
        Opt("force", "", "end it at once, without compensation"),
        speaks="act",
    ),
    Verb(
        "stop",
        "The same as cancel",
        ".signals:cancel",
        _RUN,
        _REASON,
        Opt("force", "", "end it at once, without compensation"),
        speaks="act",
    ),
    Verb("pause", "Let running steps finish and start no new one", ".signals:pause", _RUN, _REASON, speaks="act"),
    Verb("resume", "Go on after a pause", ".signals:resume", _RUN, _REASON, speaks="act"),
    Verb(
        "retry",
        "Run the failed steps of a run again",
        ".signals:retry",
        _RUN,
        _REASON,
        Opt("compensation", "", "the failed compensation handlers instead"),
        speaks="act",
    ),
    Verb("rerun", "Start a new run with the same inputs and event", ".signals:rerun", _RUN, _REASON, speaks="act"),
    Verb(
        "approve",
        "Say yes where a run waits for an answer",
        ".signals:approve",
        _RUN,
        Arg("step", "the step that waits"),
        _REASON,
        speaks="act",
    ),
    Verb(
        "reject",
        "Say no where a run waits for an answer",
        ".signals:reject",
        _RUN,
        Arg("step", "the step that waits"),
        _REASON,
        speaks="act",
    ),
)
EVENTS = (
    Verb(
        "emit",
        "Hand in an event",
        ".events:emit",
        Arg("type", "its type, such as com.shop.order.paid"),
        Opt("data", "JSON", "its data, as JSON or @FILE", short="d"),
        Opt("source", "URI", "where it came from; /reactor by default"),
        Opt("subject", "TEXT", "what it is about"),
        Opt("id", "TEXT", "its id: the same id and source is the same event"),
        speaks="act",
        files=True,
        text="An event that nobody wants ends with 0; one that became a dead letter, because a workflow that wants it\n"
        "cannot take it, with 2.",
    ),
    Verb(
        "explain",
        "Say why an event started a run, or did not",
        ".explanation:explain",
        Arg("event", "the event's key or id"),
        Arg("workflow", "only the entries of this workflow", optional=True),
        speaks="look",
        files=True,
    ),
    Verb(
        "events",
        "List events, newest first",
        ".events:events",
        Opt("type", "TYPE", "of this type"),
        Opt("source", "URI", "of this source"),
        Opt("since", "T", "accepted since this instant, or in the last such as 2h"),
        Opt("cursor", "C", "go on after the page before"),
        Opt("follow", "", "go on printing those that come", short="f"),
        _LIMIT,
        speaks="look",
    ),
    Verb(
        "replay",
        "Route an event anew, under the rules of today",
        ".events:replay",
        Arg("event", "the event's key or id"),
        speaks="act",
        files=True,
    ),
    Verb(
        "dead-letters list",
        "List what could not be taken, with the reason",
        ".events:letters",
        Opt("state", "STATE", "open (the default), retried or dropped", choices=("open", "retried", "dropped")),
        Opt("cursor", "C", "go on after the page before"),
        _LIMIT,
        speaks="look",
    ),
    Verb(
        "dead-letters retry",
        "Take a dead letter again",
        ".events:retry_letter",
        Arg("letter", "its id"),
        speaks="act",
        files=True,
    ),
    Verb(
        "dead-letters drop", "Put a dead letter aside for good", ".events:drop_letter", Arg("letter", "its id"),
        speaks="look",
    ),
)  # fmt: skip
TRIGGERS = (
    Verb(
        "trigger list",
        "List triggers: state, guarantee, next fires",
        ".triggers:list_",
        Opt("kinds", "", "the kinds there are, in place of the triggers"),
        speaks="look",
        files=True,
    ),
    Verb(
        "trigger test",
        "Say which workflows a sample would start; none is",
        ".triggers:test",
        Arg("trigger", "its name"),
        Opt("data", "JSON", "the sample, as JSON or @FILE", short="d"),
        Opt("type", "TYPE", "the event's type"),
        Opt("subject", "TEXT", "what it is about"),
        speaks="look",
        files=True,
    ),
    Verb("trigger pause", "Stop reading: events wait at the source", ".triggers:pause", Arg("trigger", "its name"),
         speaks="look"),
    Verb(
        "trigger resume",
        "Read on",
        ".triggers:resume",
        Arg("trigger", "its name"),
        Opt("start", "WHERE", "after a gap: earliest, latest, or a position as JSON"),
        speaks="look",
    ),
    Verb(
        "schedule preview",
        "List when a schedule fires",
        ".schedule:preview",
        Arg("spec", "a cron expression, an interval such as 15s, or an instant"),
        Opt("timezone", "ZONE", "such as Europe/Berlin; the project's by default"),
        Opt("from", "T", "look from this instant on; now by default"),
        Opt("count", "N", "how many; 10 by default", count=True, least=1),
    ),
)  # fmt: skip
HOUSE = (
    Verb("connection list", "List the connections of the project", ".connections:list_"),
    Verb("connection test", "Ask the other side of a connection", ".connections:test", Arg("connection", "its name")),
    Verb("secret list", "List the names of the secrets, never a value", ".connections:secrets"),
    Verb(
        "token create",
        "Make a token for the HTTP API; it is shown once",
        ".tokens:create",
        Arg("token", "its name"),
        Opt("scope", "SCOPE", "read, emit, operate or deploy; read by default", many=True,
            choices=("read", "emit", "operate", "deploy")),
        Opt("role", "ROLE", "a role, for approvals", many=True),
    ),
    Verb("token list", "List the tokens by name and scope", ".tokens:list_"),
    Verb("token revoke", "Take a token back", ".tokens:revoke", Arg("token", "its name")),
    Verb("plugin list", "List what installed plugins supply, and what is wrong with them", ".plugins:list_"),
    Verb(
        "plugin new",
        "Write a package that works, with its tests, to begin a plugin",
        ".plugins:new",
        Arg("plugin", "its name, such as reactor-serial"),
        Opt("kind", "KIND", "trigger (the default) or action", choices=("trigger", "action")),
        Opt("language", "LANGUAGE", "python", choices=("python", "go")),
    ),
    Verb("plugin check", "Run the public suite over a plugin", ".plugins:check",
         Arg("plugin", "its name, or that of a kind or action")),
    Verb("store check", "Look whether the store is sound", ".storage:check"),
    Verb("store snapshot", "Copy the store to a file, while it is in use", ".storage:snapshot",
         Arg("file", "the file to write")),
    Verb("doctor", "Show settings and who set them, versions, extras, the store", ".doctor:doctor"),
    Verb("completion", "Print the completion script of a shell", ".completion:completion",
         Arg("shell", "bash, zsh or fish")),
)  # fmt: skip

GROUPS = (
    ("Start", START),
    ("Workflows", WORKFLOWS),
    ("Runs", RUNS),
    ("Events", EVENTS),
    ("Triggers and schedules", TRIGGERS),
    ("The house", HOUSE),
)
VERBS = {verb.name: verb for _, verbs in GROUPS for verb in verbs}
HEADS = {name.partition(" ")[0] for name in VERBS if " " in name}

UNAVAILABLE = {
    "backtest": "`reactor explain EVENT` judges stored events by the rules of today",
    "bench": "run `make bench` in a checkout of the source",
    "cache list": "no version of a step's result is kept between runs yet",
    "cache clear": "no version of a step's result is kept between runs yet",
    "migrate": "open runs end under their own version; `reactor rerun RUN` starts one anew",
    "new plugin": "`reactor plugin new NAME` writes one",
    "secret set": "set the environment variable REACTOR_SECRET_<NAME>, or name a file in `secrets.from`",
    "secret rm": "unset the environment variable REACTOR_SECRET_<NAME>, or edit the file of `secrets.from`",
    "shell": "use the verbs one by one; `reactor completion bash` completes them",
    "store migrate": "`reactor serve` brings the store to today's shape when it opens it",
    "store restore": "stop the server and put the snapshot in the place of the store's file",
    "template publish": "share the file that `reactor export NAME` prints",
    "template search": "`reactor new workflow NAME` writes a file to begin with",
    "template use": "`reactor new workflow NAME` writes a file to begin with",
    "test": "`reactor trigger test` and `reactor run` try a workflow out",
    "trigger fire": "`reactor run NAME` starts the workflow now",
}  # fmt: skip
"""Verbs of the language that this version does not carry out → what there is in their place."""
