"""Kinds by name: short forms, faults in our own words, kinds that are not there yet, plugins."""

import sys
from typing import Any

import pytest

from reactor.core.errors import ConfigError
from reactor.testing.trigger_suite import TriggerSuite
from reactor.tests.triggers import test_http_suite, test_jetstream, test_kafka, test_suites
from reactor.triggers.catalogue import BUILT_IN, UNAVAILABLE, Kinds, takes_context


def told(kind: str, config: object) -> list[tuple[object, str, str]]:
    return [(fault.path, fault.message, fault.hint) for fault in Kinds().faults(kind, config)]


def test_the_kinds_of_this_version() -> None:
    assert sorted(BUILT_IN) == ["at", "cron", "event", "every", "file", "http", "jetstream", "kafka", "workflow"]
    assert not set(BUILT_IN) & set(UNAVAILABLE)


@pytest.mark.req("T-GEN-1")
def test_every_source_passes_the_public_suite() -> None:
    """`every` and `at` are the reader of `cron` with another table of instants."""
    passed = {
        "http": test_http_suite.TestHttp,
        "file": test_suites.TestFile,
        "cron": test_suites.TestCron,
        "kafka": test_kafka.TestSuite,
        "jetstream": test_jetstream.TestSuite,
    }
    kinds = Kinds()
    own: dict[type, str] = {}
    for name, kind in kinds.all.items():
        if kind.reads:
            own.setdefault(kinds.load(name)[1].__mro__[-2], name)
    assert all(issubclass(suite, TriggerSuite) for suite in passed.values())
    assert set(own.values()) == set(passed), own


@pytest.mark.parametrize(
    ("kind", "config", "faults"),
    [
        ("event", "com.shop.*", []),
        ("event", {"type": "com.shop.*", "source": "/a"}, []),
        (
            "event",
            {"tpe": "a"},
            [("type", "is required and missing", ""), ("tpe", "unknown key `tpe`", "did you mean type?")],
        ),
        ("event", ["a"], [((), "`event` needs a mapping of its keys", "write event: {type: …}")]),
        ("workflow", "ship@^1", []),
        ("workflow", {"workflow": "ship", "state": "failed"}, []),
        ("workflow", {"workflow": "ship", "state": ["completed", "timed_out"]}, []),
        ("every", True, [((), "`every` needs a mapping of its keys", "write every: {interval: …}")]),
        (
            "mqtt",
            {},
            [
                (
                    (),
                    "the trigger kind mqtt is not available in this version",
                    "there are http, file, cron, every, at, kafka, jetstream, event and workflow",
                )
            ],
        ),
        ("corn", {}, [((), "there is no trigger kind corn", "did you mean cron?")]),
    ],
)
def test_faults(kind: str, config: object, faults: list[tuple[object, str, str]]) -> None:
    assert told(kind, config) == faults


def test_what_is_not_there_yet_says_so_by_code() -> None:
    assert [fault.code for fault in Kinds().faults("redis_stream", {})] == ["unavailable"]
    with pytest.raises(ConfigError) as caught:
        Kinds().load("sql_poll")
    assert (caught.value.code, caught.value.hint) == ("unavailable", "use `every` and an `sql` step")


def test_bindings_have_no_reader() -> None:
    kinds = Kinds()
    assert [name for name in BUILT_IN if not kinds.reads(name)] == ["event", "workflow"]


def test_a_plugin_is_imported_when_it_is_named() -> None:
    kinds = Kinds({"fake": "reactor.tests.triggers.fakes:FakeTrigger", "cron": "evil:Cron"})
    kind, made = kinds.load("fake")
    assert (kind.plugin, made.__name__) == (True, "FakeTrigger")
    assert kinds.load("cron")[0].plugin is False, "a built-in name stays ours"


@pytest.mark.req("T-PLUG-3")
@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        (
            "no_such_package.mod:Demo",
            "the trigger kind demo cannot be imported from no_such_package.mod: No module named 'no_such_package'",
            "install what is missing, or remove the plugin",
        ),
        (
            "reactor.tests:Demo",
            "the trigger kind demo is registered as reactor.tests:Demo, but there is no Demo in reactor.tests",
            "correct the entry point of the plugin",
        ),
    ],
)
def test_a_plugin_that_is_broken_is_named(target: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Kinds({"demo": target}).load("demo")
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_the_checked_config() -> None:
    assert Kinds().config("every", "15s").model_dump()["interval"] == 15.0
    with pytest.raises(ConfigError) as caught:
        Kinds().config("every", {"intervall": "15s"})
    expected = "every: interval: is required and missing; intervall: unknown key `intervall` (did you mean interval?)"
    assert (str(caught.value), caught.value.path) == (expected, "interval")


@pytest.mark.parametrize(("more", "takes"), [("", False), (', context: "Context"', True)])
def test_a_trigger_is_asked_what_it_takes_whatever_its_hints_name(more: str, takes: bool) -> None:
    """From Python 3.14 on a name that only type checkers know needs no quotes."""
    source = f'class Own:\n    def __init__(self, config: "Config"{more}) -> None: ...\n'
    names: dict[str, Any] = {}
    exec(source.replace('"', "") if sys.version_info >= (3, 14) else source, names)
    assert takes_context(names["Own"]) is takes
