"""Writes the generated pages of docs/: every promise and every requirement with the tests that name it, every key.

    python docs/generate.py [--check]

The texts come from docs/data/, the tests from their markers `rule("4.2")`, `rule("4.2.1")` and `req("T-FILE-2")`.
With `--check` nothing is written: the status is 1 when a page is not current, and the page is named.
"""

import contextlib
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from reactor.docs.key_tables import keys_page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PROVEN, PARTLY, MISSING = "proven", "in part", "missing"
NOTICE = "<!-- Written by `make pages` from docs/data/{source} and the markers of the tests. Do not edit. -->"

Tests = Mapping[str, list[str]]


@dataclass
class Named:
    """The tests that name a rule or a requirement: its number or id, then the tests, sorted."""

    rules: dict[str, list[str]] = field(default_factory=dict)
    requirements: dict[str, list[str]] = field(default_factory=dict)


class Markers:
    """A pytest plugin: keeps the markers of what was collected."""

    def __init__(self) -> None:
        self.rules: defaultdict[str, set[str]] = defaultdict(set)
        self.requirements: defaultdict[str, set[str]] = defaultdict(set)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Read every test's markers, its cases taken together."""
        for item in session.items:
            test = item.nodeid.split("[", 1)[0]
            for marker, found in (("rule", self.rules), ("req", self.requirements)):
                for mark in item.iter_markers(marker):
                    for name in mark.args:
                        found[name].add(test)


class Wrong(Exception):
    """The pages cannot be written; the text says why."""


def collect(root: Path = ROOT) -> Named:
    """Let pytest collect all tests below `root`; raises Wrong with its output when it cannot."""
    markers, output = Markers(), io.StringIO()
    with contextlib.redirect_stdout(output):
        status = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={root}", str(root / "tests")], [markers]
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise Wrong("the tests cannot be collected:\n" + output.getvalue()[-4000:])
    return Named(
        {name: sorted(tests) for name, tests in markers.rules.items()},
        {name: sorted(tests) for name, tests in markers.requirements.items()},
    )


def shown(tests: Iterable[str]) -> str:
    """The tests as a list with links to their files."""
    lines: list[str] = []
    for test in tests:
        file, _, name = test.partition("::")
        lines.append(f"[`{name.replace('::', '.')}`](../{file})")
    return ", ".join(lines)


def semantics(chapters: list[dict[str, Any]], tests: Tests) -> str:
    """The page of promises; raises Wrong when a test names a rule that is none."""
    known: set[str] = set()
    states: list[str] = []
    sentences: list[str] = []
    body: list[str] = []
    for chapter in chapters:
        body += ["", f"## {chapter['chapter']}. {chapter['title']}"]
        for rule in chapter["rules"]:
            number = f"{chapter['chapter']}.{rule['rule']}"
            whole = tests.get(number, [])
            own = [tests.get(f"{number}.{place}", []) for place, _ in enumerate(rule["sentences"], 1)]
            known.update([number, *(f"{number}.{place}" for place, _ in enumerate(own, 1))])
            proven = [bool(whole or each) for each in own]
            sentences += [PROVEN if each else MISSING for each in proven]
            states.append(PROVEN if all(proven) else PARTLY if any(proven) else MISSING)
            body += ["", f"### {number}", "", f"State: {states[-1]}", ""]
            for place, (sentence, named, is_proven) in enumerate(zip(rule["sentences"], own, proven, strict=True), 1):
                state = shown(named) if named else ("" if is_proven else f"*{MISSING}*")
                text = sentence if isinstance(sentence, str) else f"{sentence['text']} *({sentence['part']})*"
                body.append(f"{place}. {text}" + (f"<br>{state}" if state else ""))
            if whole:
                body += ["", f"The whole rule: {shown(whole)}"]
    _known("rule", tests, known, "docs/data/semantics.yaml")
    head = [
        NOTICE.format(source="semantics.yaml"),
        "# Semantics: what is promised",
        "",
        "Every rule with the tests that name it. A test that names a whole rule stands for each of its sentences.",
        "Where this version has only a part of what a sentence says, that part stands in brackets.",
        "Where another page says otherwise about delivery or execution, this one wins.",
        "",
        "*Durable*: committed under the store's durability. *Unit*: rows that one commit writes whole or not at all.",
        "*Binding*: one entry of one workflow's `when`. *Held run*: a durable run in state `pending` or `queued`.",
        "CAPITALS: named limits in `core/limits.py`.",
        "",
        f"Of {len(states)} rules {_counted(states)}. Of {len(sentences)} sentences {_counted(sentences)}.",
    ]
    return "\n".join([*head, *body]) + "\n"


def requirements(groups: list[dict[str, Any]], tests: Tests) -> str:
    """The page of requirements; raises Wrong when a test names one that is none."""
    known: set[str] = set()
    states: list[str] = []
    body: list[str] = []
    for group in groups:
        known.update(entry["id"] for entry in group["requirements"])
        listed = [entry for entry in group["requirements"] if entry["id"] in tests or not entry.get("later")]
        if listed:
            body += ["", f"## {group['group']}: {group['title']}", ""]
            body += ["| Id | Requirement | State | Tests |", "| --- | --- | --- | --- |"]
        for entry in listed:
            named = tests.get(entry["id"], [])
            states.append(PROVEN if named else MISSING)
            text = entry["text"].replace("|", "\\|")
            part = f" *({entry['part']})*" if "part" in entry else ""
            body.append(f"| {entry['id']} | {text}{part} | {states[-1]} | {shown(named)} |")
    _known("req", tests, known, "docs/data/requirements.yaml")
    head = [
        NOTICE.format(source="requirements.yaml"),
        "# Requirements",
        "",
        "What Reactor must do, each with the tests that name it. Where only a part is meant, it stands in brackets.",
        "",
        f"Of {len(states)} requirements {_counted(states)}.",
    ]
    return "\n".join([*head, *body]) + "\n"


def _counted(states: list[str]) -> str:
    counts = {each: states.count(each) for each in (PROVEN, PARTLY, MISSING)}
    return ", ".join(f"{count} {'is' if count == 1 else 'are'} {name}" for name, count in counts.items() if count)


def _known(marker: str, tests: Tests, known: set[str], source: str) -> None:
    for name in sorted(set(tests) - known):
        raise Wrong(f'{tests[name][0]} is marked {marker}("{name}"), and {source} has no such entry')


def pages(named: Named) -> dict[str, str]:
    """Every generated page: its name and what it must hold."""
    chapters = yaml.safe_load((DOCS / "data" / "semantics.yaml").read_text())
    groups = yaml.safe_load((DOCS / "data" / "requirements.yaml").read_text())
    return {
        "semantics.md": semantics(chapters, named.rules),
        "requirements.md": requirements(groups, named.requirements),
        "keys.md": keys_page(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them."""
    try:
        wanted = pages(collect())
    except Wrong as why:
        print(f"docs/generate.py: {why}", file=sys.stderr)
        return 2
    stale = [name for name, text in wanted.items() if not _holds(DOCS / name, text)]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is not current: run `make pages` and commit it", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(wanted[name])
        print(f"docs/{name}: written")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
