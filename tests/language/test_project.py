"""`reactor.yaml`: every key, what the environment overrides, who set what, and what is wrong with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from reactor.language.built_in import BUILT_IN
from reactor.language.catalogue import Fault, Vocabulary
from reactor.language.definition import TriggerSpec
from reactor.language.diagnostics import InvalidDefinition
from reactor.language.loader import load_text
from reactor.language.project import Bus, Connection, Origin, Project, Retention, Server, load_project

WHOLE = """
server:
  host: 0.0.0.0
  port: 9000
  base_path: /reactor/
  url: https://reactor.example.com
  timezone: Europe/Berlin
  files: [data, /srv]
  drain: 1m
  log: {format: json, level: debug}
  limits: {body: 2MiB, output: 1MiB, depth: 32}
store: {url: "postgresql://shop@db/reactor", durability: process}
bus: {jetstream: {connection: main, max_age: 1d}, events: ["reactor.run.*"]}
connections:
  broker:
    kafka:
      servers: ["localhost:9092"]
      sasl: {mechanism: PLAIN, username: shop, password: "${{ secrets.kafka_password }}"}
  main: {nats: {servers: ["nats://localhost:4222"]}}
secrets: {from: [env, file: .secrets.yaml]}
triggers:
  orders:
    kafka: {connection: broker, topic: orders, group: shipping}
    settle: completed
    start: earliest
    id: event.data.id
  nightly: {cron: "0 3 * * *"}
vars: {pay: "http://localhost:9000", maintenance: false}
env: [REGION]
workflows: ["flows/*.yaml"]
retention: {runs: 40d, dedupe: 1h}
"""


def project(tmp_path: Path, text: str, words: Vocabulary = BUILT_IN, **environ: str) -> Project:
    (tmp_path / "reactor.yaml").write_text(text)
    (tmp_path / ".secrets.yaml").write_text("kafka_password: x\n")
    found, diagnostics = load_project(tmp_path, words, environ)
    assert found is not None, diagnostics.render()
    assert not diagnostics.items, diagnostics.render()
    return found


def told(tmp_path: Path, text: str, words: Vocabulary = BUILT_IN, **environ: str) -> str:
    (tmp_path / "reactor.yaml").write_text(text)
    return load_project(tmp_path, words, environ)[1].render().replace(f"{tmp_path}/", "")


def test_every_key(tmp_path: Path) -> None:
    got = project(tmp_path, WHOLE)
    assert got == Project(
        root=str(tmp_path),
        file=str(tmp_path / "reactor.yaml"),
        server=Server(
            host="0.0.0.0",
            port=9000,
            base_path="/reactor",
            url="https://reactor.example.com",
            timezone="Europe/Berlin",
            files=("data", "/srv"),
            drain_s=60.0,
            log_format="json",
            log_level="debug",
            body_bytes_max=2 << 20,
            output_bytes_max=1 << 20,
            depth_max=32,
        ),
        store="postgresql://shop@db/reactor",
        durability="process",
        bus=Bus("jetstream", "main", {"stream": "reactor", "create": True, "max_age_s": 86_400.0}, ("reactor.run.*",)),
        connections={
            "broker": Connection(
                "broker",
                "kafka",
                {
                    "servers": ["localhost:9092"],
                    "sasl": {"mechanism": "PLAIN", "username": "shop", "password": "${{ secrets.kafka_password }}"},
                },
            ),
            "main": Connection("main", "nats", {"servers": ["nats://localhost:4222"]}),
        },
        secrets_from=(("env", ""), ("file", ".secrets.yaml")),
        triggers={
            "orders": TriggerSpec(
                "orders",
                "kafka",
                {"connection": "broker", "topic": "orders", "group": "shipping"},
                settle="completed",
                start="earliest",
                id="event.data.id",
            ),
            "nightly": TriggerSpec("nightly", "cron", {"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}),
        },
        vars={"pay": "http://localhost:9000", "maintenance": False},
        env=("REGION",),
        workflows=("flows/*.yaml",),
        retention=Retention(runs_s=40 * 86_400.0, dedupe_s=3_600.0),
    )


def test_without_a_file(tmp_path: Path) -> None:
    assert Project.default(tmp_path) == Project(root=str(tmp_path))
    found, diagnostics = load_project(tmp_path, BUILT_IN, {"REACTOR_STORE": ":memory:"})
    assert not diagnostics.items
    assert found == Project(root=str(tmp_path), store=":memory:")
    assert found.origin("store") == Origin("environment", "REACTOR_STORE")
    assert Project.default(tmp_path, BUILT_IN, {"REACTOR_SERVER__PORT": "0"}).server.port == 0
    with pytest.raises(InvalidDefinition):
        Project.default(tmp_path, BUILT_IN, {"REACTOR_SERVER__PORT": "many"})


def test_short_forms(tmp_path: Path) -> None:
    got = project(tmp_path, "bus: kafka\nconnections: {broker: {kafka: {servers: [a]}}}\nsecrets: {from: [env]}")
    assert got.bus == Bus("kafka", "broker", {"topic": "reactor.events", "create": False})
    assert project(tmp_path, "bus: local").bus == Bus()


@pytest.mark.req("P-9")
def test_the_environment_overrides_and_fills(tmp_path: Path) -> None:
    got = project(
        tmp_path,
        WHOLE,
        REACTOR_STORE="sqlite:///other.db",
        REACTOR_SERVER__PORT="9100",
        REACTOR_SERVER__LOG__LEVEL="error",
        REACTOR_VARS__PAY="1.10",
        REACTOR_VARS__MAINTENANCE="true",
        REACTOR_VARS__NEW='{"a": [1]}',
        REACTOR_CONNECTIONS__BROKER__KAFKA__SASL__PASSWORD="a: #b",
        REACTOR_RETENTION__RUNS="50d",
        REACTOR_SERVER__HOST="",
        REACTOR_URL="http://elsewhere",
        REACTOR_TOKEN="t",
        REACTOR_SECRET_X="y",
    )
    assert (got.store, got.durability, got.writer) == ("sqlite:///other.db", "power", "")
    assert (got.server.host, got.server.port, got.server.log_format, got.server.log_level) == (
        "0.0.0.0",
        9100,
        "json",
        "error",
    )
    assert got.vars == {"pay": 1.1, "maintenance": True, "new": {"a": [1]}}
    assert got.connections["broker"].config["sasl"]["password"] == "a: #b"
    assert got.retention.runs_s == 50 * 86_400.0
    assert got.origin("server.port") == Origin("environment", "REACTOR_SERVER__PORT")
    assert got.origin("server.host") == Origin("file", f"{tmp_path / 'reactor.yaml'}:3:9")
    assert got.origin("server.depth") == Origin("default")
    assert (
        got.origin("connections.broker.kafka.sasl.password").where
        == "REACTOR_CONNECTIONS__BROKER__KAFKA__SASL__PASSWORD"
    )


def test_names_with_other_letters_are_found(tmp_path: Path) -> None:
    got = project(tmp_path, "vars: {Pay-URL: a}", REACTOR_VARS__PAY_URL="b")
    assert got.vars == {"Pay-URL": "b"}


@pytest.mark.req("P-9")
def test_settings_tell_where_each_comes_from(tmp_path: Path) -> None:
    got = project(tmp_path, "vars: {a: 1}", REACTOR_STORE="postgresql://u:hunter2@h/n")
    settings = {key: (value, origin) for key, value, origin in got.settings()}
    assert settings["store"] == ("postgresql://u:***@h/n", Origin("environment", "REACTOR_STORE"))
    assert settings["server.log.format"] == ("text", Origin("default"))
    assert settings["vars.a"] == (1, Origin("file", f"{tmp_path / 'reactor.yaml'}:1:11"))
    assert "hunter2" not in repr(got)


def test_files_of_workflows(tmp_path: Path) -> None:
    for name in ("workflows/a.yaml", "workflows/deep/b.yml", "workflows/c.json", "workflows/d.txt", "e.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    got = [str(path.relative_to(tmp_path)) for path in Project.default(tmp_path).workflow_files()]
    assert got == ["workflows/a.yaml", "workflows/c.json", "workflows/deep/b.yml"]


def test_workflows_know_their_project(tmp_path: Path) -> None:
    got = project(tmp_path, WHOLE)
    words = got.vocabulary(BUILT_IN, got.secrets({"REACTOR_SECRET_API_KEY": "x"}))
    good = (
        "workflow: a\nwhen: [{trigger: orders}]\nsteps:\n"
        '  a: {http: {url: "${{ vars.pay }}", headers: {k: "${{ secrets.api_key }}", r: "${{ env.REGION }}"}}}'
    )
    assert not load_text(good, "a.yaml", words).diagnostics
    bad = good.replace("api_key", "api_kee").replace("pay", "pai").replace("REGION", "ZONE").replace("orders", "order")
    assert [each.code for each in load_text(bad, "a.yaml", words).diagnostics.errors] == [
        "unknown_trigger",
        "unknown_var",
        "missing_secret",
        "unknown_env",
    ]


def check_kafka(config: object) -> list[Fault]:
    return [Fault(("servers",), "needs at least one server")]


FAULTY = sorted((Path(__file__).parent / "faulty_projects").glob("*.yaml"))


@pytest.mark.parametrize("path", FAULTY, ids=lambda path: path.stem)
def test_message(tmp_path: Path, path: Path) -> None:
    assert told(tmp_path, path.read_text()) + "\n" == path.with_suffix(".txt").read_text()


def test_who_writes_an_sqlite_file(tmp_path: Path) -> None:
    assert project(tmp_path, "store: {url: 'sqlite:///a.db', writer: thread}").writer == "thread"
    for url in (":memory:", "postgresql://me@db/r"):
        assert told(tmp_path, f"store: {{url: '{url}', writer: process}}") == (
            "error: `writer` is of a store in an SQLite file alone\n"
            f"  --> reactor.yaml:1:{len(url) + 26} (store.writer)\n"
            f" 1 | store: {{url: '{url}', writer: process}}\n"
            f"   | {' ' * (len(url) + 25)}^^^^^^^\n"
            "  = help: leave it out: PostgreSQL writes by itself, and `:memory:` is written by a thread"
        )


def test_what_the_kind_of_connection_says(tmp_path: Path) -> None:
    kafka = replace(BUILT_IN.connection_kinds["kafka"], check=check_kafka)
    words = replace(BUILT_IN, connection_kinds={"kafka": kafka})
    assert told(tmp_path, "connections: {a: {kafka: {servers: []}}}", words) == (
        "error: `servers` needs at least one server\n  --> reactor.yaml:1:36 (connections.a.kafka.servers)\n"
        " 1 | connections: {a: {kafka: {servers: []}}}\n   |                                    ^^"
    )


def test_a_wrong_override_names_its_variable(tmp_path: Path) -> None:
    assert told(
        tmp_path, "server: {port: 1}", REACTOR_SERVER__PORT="many", REACTOR_SERVR__PORT="1", REACTOR_VARS="[1"
    ) == (
        'error: `port` must be a whole number from 0 to 65535; found the text "many"\n'
        "  --> environment variable REACTOR_SERVER__PORT (server.port)\n"
        "  = expected: a whole number from 0 to 65535\n"
        '  = found: the text "many"\n'
        "\n"
        "warning: the environment variable REACTOR_SERVR__PORT is set, and nothing reads it\n"
        "  --> environment variable REACTOR_SERVR__PORT\n"
        "  = help: did you mean REACTOR_SERVER__PORT?\n"
        "\n"
        "error: the list that begins with [ here is not closed\n"
        "  --> environment variable REACTOR_VARS:1:1\n"
        "  = help: close it with ]"
    )


HOW = "a key of reactor.yaml is set by REACTOR_<KEY>, `__` goes down a level; `reactor doctor` shows the keys"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("REACTOR_STOER", "did you mean REACTOR_STORE?"),
        ("REACTOR_SERVER_PORT", "did you mean REACTOR_SERVER__PORT?"),
        ("REACTOR_SERVR__LOG__LEVEL", "did you mean REACTOR_SERVER__LOG__LEVEL?"),
        ("REACTOR_RETENTION_DEAD_LETTERS", "did you mean REACTOR_RETENTION__DEAD_LETTERS?"),
        ("REACTOR_TOKEN_FLIE", "did you mean REACTOR_TOKEN_FILE?"),
        ("REACTOR_SECRETS_STRIPE_KEY", "did you mean REACTOR_SECRET_STRIPE_KEY?"),
        ("REACTOR_PORT", HOW),
        ("REACTOR_", HOW),
        ("REACTOR_STORE__", "did you mean REACTOR_STORE?"),
        ("REACTOR_SOMETHING_ELSE_ALTOGETHER", HOW),
    ],
)
def test_a_variable_that_nothing_reads_is_told_without_its_value(tmp_path: Path, variable: str, hint: str) -> None:
    assert told(tmp_path, "env: [REGION]", **{variable: "hunter2"}) == (
        f"warning: the environment variable {variable} is set, and nothing reads it\n"
        f"  --> environment variable {variable}\n  = help: {hint}"
    )


def test_variables_that_somebody_reads_are_not_told(tmp_path: Path) -> None:
    ours = ("URL", "TOKEN", "TOKEN_FILE", "TOKENS", "TOKENS_FILE", "IDEMPOTENCY_KEY", "RUN", "STEP", "SECRET_A_FILE")
    service = ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8484_TCP", "PORT_8484_TCP_ADDR")
    environ = {f"REACTOR_{name}": "x" for name in (*ours, *service, "ZONE")}
    environ |= {"REACTOR_PORT": "tcp://10.0.0.7:8484", "REACTOR_STOER": "", "REACTORS": "x"}
    assert told(tmp_path, "env: [REACTOR_ZONE]", **environ) == ""


def test_a_file_of_secrets_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "here.yaml").write_text("a: b\n")
    text = "secrets:\n  from: [env, {file: here.yaml}, {file: ../gone.yaml}]\n"
    assert told(tmp_path, text) == (
        "warning: there is no file `../gone.yaml`: no secret is found in it\n"
        "  --> reactor.yaml:2:41 (secrets.from[2].file)\n"
        " 2 |   from: [env, {file: here.yaml}, {file: ../gone.yaml}]\n"
        "   |                                         ^^^^^^^^^^^^\n"
        "  = help: write it with one `name: value` a line, or take it out of `secrets.from`"
    )


def test_what_is_probably_not_meant_stays_with_the_project(tmp_path: Path) -> None:
    (tmp_path / "reactor.yaml").write_text("secrets: {from: [{file: gone.yaml}]}\n")
    found, diagnostics = load_project(tmp_path, BUILT_IN, {"REACTOR_STOER": "x"})
    assert found is not None
    assert list(found.warnings) == diagnostics.sorted()
    assert [each.code for each in found.warnings] == ["file_not_found", "unknown_key"]


def test_schedules_take_the_timezone_of_the_project(tmp_path: Path) -> None:
    text = (
        "workflow: a\nwhen: [{cron: 0 3 * * *}, {every: {interval: 1h, timezone: UTC}}]\nsteps: [{log: {message: a}}]"
    )
    words = project(tmp_path, "server: {timezone: Europe/Berlin}").vocabulary(BUILT_IN)
    cron, every = load_text(text, "a.yaml", words).loaded[0].definition.when
    assert cron.spec is not None
    assert cron.spec.config == {"schedule": "0 3 * * *", "timezone": "Europe/Berlin"}
    assert every.spec is not None
    assert every.spec.config == {"interval": "1h", "timezone": "UTC"}
