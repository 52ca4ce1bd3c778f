"""What every text of the project must keep to: no machine's paths, no registry's address, links that lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
WIDTH = 120
ELSEWHERE = (
    (re.compile(r"(?<![\w./-])/(work|root|home/\w+)/"), "a path of one machine"),
    (re.compile(r"pypi\.org/simple|files\.pythonhosted|registry\.npmjs|repo1?\.maven|proxy\.golang"), "a registry"),
    (re.compile(r"--(extra-)?index-" + "url|" + r"registry\s*=\s*[\"']?http|\"resolved\": *\"http"), "a registry"),
    (re.compile(r"\.\./" + "shared"), "a path outside the project"),
)


def elsewhere(path: str, text: str) -> Iterator[str]:
    """Nothing names a place that only one machine or one registry has."""
    for pattern, what in ELSEWHERE:
        for found in pattern.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path}:{line}: {what}: {found.group()}"


def anchor(heading: str) -> str:
    """The anchor that a heading gets: lower case, words joined by hyphens."""
    bare = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Every anchor of a page; a heading that stands twice gets a number."""
    seen: dict[str, int] = {}
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*#*$", FENCE.sub("", text), re.MULTILINE):
        name = anchor(heading)
        count = seen.get(name, 0)
        seen[name] = count + 1
        found.add(f"{name}-{count}" if count else name)
    found.update(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    return found


def wide(path: str, text: str) -> Iterator[str]:
    """Prose is wrapped at WIDTH; tables, code and markers cannot be, and a generated page is nobody's to wrap."""
    if text.startswith("<!-- Written by"):
        return
    body = FENCE.sub(lambda each: "\n" * each.group().count("\n"), text)
    for number, line in enumerate(body.splitlines(), 1):
        if len(line) > WIDTH and not line.startswith(("|", "<!--")):
            yield f"{path}:{number}: {len(line)} characters; wrap it at {WIDTH}"


def links(root: Path, path: str, text: str) -> Iterator[str]:
    """Every link to a file of ours, and to a heading in it, leads there."""
    body = re.sub(r"`[^`\n]*`", "", FENCE.sub(lambda each: "\n" * each.group().count("\n"), text))
    for found in LINK.finditer(body):
        target = found.group(1) or found.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        line = body.count("\n", 0, found.start()) + 1
        name, _, heading = target.partition("#")
        file = (root / path).parent / name if name else root / path
        if not file.exists():
            yield f"{path}:{line}: there is no {target}"
        elif heading and file.suffix == ".md" and heading not in anchors(file.read_text()):
            yield f"{path}:{line}: {name or path} has no heading #{heading}"
