"""A project around the workflows of these tests: the built-in words, some with checks, and what reactor.yaml adds."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reactor.language.built_in import BUILT_IN
from reactor.language.catalogue import Fault, Vocabulary
from reactor.language.definition import TriggerSpec


def check_http(with_: Any) -> Sequence[Fault | tuple[str, str]]:
    """Two of the faults that the action http finds itself."""
    if not isinstance(with_, dict):
        return [("", "must be a mapping")]
    faults: list[Fault | tuple[str, str]] = []
    if "url" not in with_ and "connection" not in with_:
        faults.append(Fault((), "the action needs `url` or `connection`", "write url: https://…", "missing_key"))
    if not isinstance(with_.get("redirects", 0), int):
        faults.append(("redirects", "expected a whole number; found " + repr(with_["redirects"])))
    return faults


def check_cron(config: Any) -> Sequence[Fault | tuple[str, str]]:
    """One of the faults that the kind cron finds itself."""
    if len(str(config.get("schedule", "")).split()) not in (5, 6):
        return [Fault(("schedule",), "a schedule has five fields or six", 'write "*/5 * * * *"')]
    return []


WORDS: Vocabulary = replace(
    BUILT_IN,
    actions={**BUILT_IN.actions, "http": replace(BUILT_IN.actions["http"], check=check_http)},
    kinds={**BUILT_IN.kinds, "cron": replace(BUILT_IN.kinds["cron"], check=check_cron)},
    connections={"broker": "kafka", "shop": "http", "db": "postgres"},
    triggers={"orders": TriggerSpec("orders", "kafka", {"connection": "broker", "topic": "orders"})},
    vars={"pay": "http://localhost:9000", "dry_run": False, "rate": 1.5},
    env={"REGION"},
    secrets={"token"},
)
