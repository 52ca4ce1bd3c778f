"""Finds the samples in the texts: fenced blocks with the marker above them, and commands of `reactor`."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GENERATED = ("docs/semantics.md", "docs/requirements.md")
_FENCE = re.compile(
    r"(?:^<!-- (?P<what>run|load)(?: (?P<how>.*?))? -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`(reactor [^`\n]+)`")


@dataclass(frozen=True)
class Sample:
    """One fenced block: its place, language and text, and what the marker above it says.

    `<!-- run {"inputs": {}, "event": {"type": "t", "data": {}}, "state": "completed", "outputs": {}} -->`: every key is
    optional. `<!-- load WHY -->`: it is only loaded, and why.
    """

    place: str
    language: str
    text: str
    what: str
    how: str

    @property
    def case(self) -> dict[str, Any]:
        """What a `run` marker says."""
        return json.loads(self.how or "{}")

    @property
    def kind(self) -> str:
        """Of YAML: `workflow`, or `project` for parts of reactor.yaml."""
        first = next(iter(yaml.safe_load_all(self.text)))
        return "workflow" if {"workflow", "steps", "when"} & set(first) else "project"

    @property
    def workflow(self) -> str:
        """The text as a whole workflow: a part of one is completed."""
        text = self.text
        keys = set(next(iter(yaml.safe_load_all(text))))
        if "workflow" not in keys:
            text = "workflow: sample\n" + text
        if "steps" not in keys:
            text += "steps: [{log: {message: sample}}]\n"
        return text


def pages() -> list[Path]:
    """The texts that people write: those of the root, and of docs/ but for the generated ones."""
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    return [each for each in found if str(each.relative_to(ROOT)) not in GENERATED]


def samples(language: str) -> list[Sample]:
    """All blocks of a language."""
    found: list[Sample] = []
    for page in pages():
        text = page.read_text()
        for hit in _FENCE.finditer(text):
            line = text.count("\n", 0, hit.start("language")) + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            found.append(Sample(place, hit["language"], hit["text"], hit["what"] or "", hit["how"] or ""))
    return [each for each in found if each.language == language]


def commands() -> list[tuple[str, list[str]]]:
    """Every command line of `reactor` in console blocks and in running text: its place and its words after the name."""
    found: list[tuple[str, list[str]]] = []
    for block in samples("console"):
        joined = re.sub(r"\\\n\s*", " ", block.text)
        for line in joined.splitlines():
            if line.startswith("$ reactor "):
                found.append((block.place, shlex.split(line[2:], comments=True)[1:]))
    for page in pages():
        text = page.read_text()
        for hit in _INLINE.finditer(text):
            line = text.count("\n", 0, hit.start()) + 1
            found.append((f"{page.relative_to(ROOT)}:{line}", shlex.split(hit[1])[1:]))
    return found
