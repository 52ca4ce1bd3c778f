"""How many events a CPU-second Reactor's index routes, beside others with the same rules: at 1 000 and 10 000 rules.

    python -P -m reactor.bench.routing [--rules 1000 10000] [--events 20000] [--json FILE]

Beside it: a Python function made of each rule, all tried in turn, which is what a program would write for itself; and
`rule-engine` from PyPI, installed when it is first asked for (bench/peers/install.py). They try every rule, so they are
given fewer events. All must find the same matches. Left out are the kinds of rules that `rule-engine` has no words for
(wildcards, networks, letters of either case). bench/matching.py measures the index with all kinds, and its budgets.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from reactor.bench.figures import show, words
from reactor.bench.matching import workload
from reactor.bench.peers import install
from reactor.router import RuleIndex
from reactor.tests.servers.install import Missing

LEFT_OUT = ("wildcard", "cidr", "equals-ignore-case")
Pattern = dict[str, Any]
Check = Callable[[Any], bool]


def shared(patterns: Iterable[tuple[str, Pattern]], count: int) -> list[tuple[str, Pattern]]:
    """The first so many rules that all can be asked for."""
    found = [each for each in patterns if not any(f'"{word}"' in json.dumps(each[1]) for word in LEFT_OUT)]
    assert len(found) >= count
    return found[:count]


def clauses(pattern: Pattern, path: tuple[str, ...] = ()) -> list[Any]:
    """A pattern as a list of `(path, alternatives)`, and of lists of such lists where it says `$or`."""
    found: list[Any] = []
    for name, value in pattern.items():
        if name == "$or":
            found.append([clauses(each, path) for each in value])
        elif isinstance(value, dict):
            found += clauses(value, (*path, name))
        else:
            found.append(((*path, name), value))
    return found


def text_of(pattern: Pattern) -> str:
    """The pattern in the words of `rule-engine`."""
    return _all_text(clauses(pattern))


def _all_text(found: list[Any]) -> str:
    parts: list[str] = []
    for each in found:
        if isinstance(each, list):
            parts.append("(" + " or ".join(f"({_all_text(one)})" for one in each) + ")")
        else:
            path, alternatives = each
            parts.append("(" + " or ".join(_text(".".join(path), one) for one in alternatives) + ")")
    return " and ".join(parts)


def _text(field: str, wanted: Any) -> str:
    if not isinstance(wanted, dict):
        return f"{field} == {json.dumps(wanted)}"
    ((word, value),) = wanted.items()
    if word == "numeric":
        pairs = zip(value[::2], value[1::2], strict=True)
        return "(" + " and ".join([f"{field} != null", *(f"{field} {sign} {bound}" for sign, bound in pairs)]) + ")"
    if word == "exists":
        return f"{field} {'!=' if value else '=='} null"
    if word == "anything-but":
        return f"({field} != null and not ({field} in {json.dumps(value)}))"
    method = {"prefix": "starts_with", "suffix": "ends_with"}[word]
    return f"({field} != null and {field}.{method}({json.dumps(value)}))"


def function_of(pattern: Pattern) -> Check:
    """The pattern as a function of the decoded event, as a program would write it."""
    return _all(clauses(pattern))


def _all(found: list[Any]) -> Check:
    checks = [_any([_all(one) for one in each]) if isinstance(each, list) else _field(*each) for each in found]
    return lambda event: all(check(event) for check in checks)


def _any(checks: list[Check]) -> Check:
    return lambda event: any(check(event) for check in checks)


def _field(path: tuple[str, ...], alternatives: list[Any]) -> Check:
    plain = [each for each in alternatives if not isinstance(each, dict)]
    checks = [_test(*next(iter(each.items()))) for each in alternatives if isinstance(each, dict)]

    def check(event: Any) -> bool:
        value = event
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value in plain or any(check(value) for check in checks)

    return check


def _test(word: str, wanted: Any) -> Check:
    if word == "numeric":
        bounds = list(zip(wanted[::2], wanted[1::2], strict=True))
        return lambda value: value is not None and all(_SIGNS[sign](value, bound) for sign, bound in bounds)
    return _WORDS[word](wanted)


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}
_WORDS: dict[str, Callable[[Any], Check]] = {
    "exists": lambda wanted: lambda value: (value is not None) == wanted,
    "anything-but": lambda wanted: lambda value: value is not None and value not in wanted,
    "prefix": lambda wanted: lambda value: isinstance(value, str) and value.startswith(wanted),
    "suffix": lambda wanted: lambda value: isinstance(value, str) and value.endswith(wanted),
}


def by_index(rules: list[tuple[str, Pattern]], lines: list[bytes]) -> tuple[float, int]:
    """Events a CPU-second, and matches, of Reactor's index; decoding included."""
    index = RuleIndex()
    index.change(add=rules)
    index.match(lines[0])
    begun = time.process_time()
    matches = sum(len(index.match(line)) for line in lines)
    return len(lines) / (time.process_time() - begun), matches


def by_function(rules: list[tuple[str, Pattern]], lines: list[bytes]) -> tuple[float, int]:
    """The same of a function for each rule."""
    checks = [function_of(pattern) for _, pattern in rules]
    begun = time.process_time()
    matches = 0
    for line in lines:
        event = json.loads(line)
        matches += sum(check(event) for check in checks)
    return len(lines) / (time.process_time() - begun), matches


def by_rule_engine(rules: list[tuple[str, Pattern]], lines: list[bytes]) -> tuple[float, int]:
    """The same of `rule-engine`, in a process of its own; raises Missing if it cannot be had."""
    python = install.installed("rule-engine")["python"]
    with tempfile.TemporaryDirectory(prefix="reactor-bench-") as folder:
        file = Path(folder) / "work.json"
        texts = [text_of(pattern) for _, pattern in rules]
        file.write_text(json.dumps({"rules": texts, "events": [line.decode() for line in lines]}))
        script = Path(install.__file__).with_name("on_rule_engine.py")
        done = subprocess.run([python, str(script), str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"it ended with status {done.returncode}: {done.stderr[-500:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["events_per_s"], found["matches"]


PEERS = {"a Python function for each rule": (by_function, 500_000), "rule-engine": (by_rule_engine, 50_000)}
"""How each is measured, and how many checks of one rule against one event it is given: it takes seconds then."""


def compared(count: int, events: int) -> dict[str, Any]:
    """Reactor and its peers at one number of rules; raises AssertionError if they do not find the same."""
    lines, drawn = workload(events, count * 2)
    rules = shared(drawn, count)
    rate, _ = by_index(rules, lines)
    found: dict[str, Any] = {f"{count} rules, Reactor, events/s": round(rate)}
    for name, (measure, tried) in PEERS.items():
        few = lines[: max(5, tried // count)]
        wanted = by_index(rules, few)[1]
        try:
            theirs, matches = measure(rules, few)
        except Missing as why:
            found[f"{count} rules, {name}"] = f"not measured: {why}"
            continue
        assert matches == wanted, f"{name} finds {matches} matches, Reactor {wanted}"
        found[f"{count} rules, {name}, events/s"] = round(theirs, 1)
        found[f"… Reactor is faster than {name} at {count} rules"] = f"{rate / theirs:,.0f}x"
    return found


def main() -> None:
    """Measure and print."""
    parser = words(__doc__)
    parser.add_argument("--rules", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--events", type=int, default=20_000)
    said = parser.parse_args()
    found: dict[str, Any] = {}
    for count in said.rules:
        found |= compared(count, said.events)
    show(found, said.json, width=72)


if __name__ == "__main__":
    main()
