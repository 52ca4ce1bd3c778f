"""What a release leaves behind for those after it: its definitions, what they mean, and answers of its API.

    python -P -m reactor.tests.compat.filed

writes `tests/compat/MAJOR.MINOR/` for this version: to be done once, when it is released. Until then it may be
written again; afterwards what is there stands. `project/` holds what people wrote, `definitions.json` every field of
what was read from it, `answers.json` the requests of `conversation.py` with their answers.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import reactor
from reactor import App
from reactor.language.loader import load_files
from reactor.tests.compat.conversation import REQUESTS
from reactor.tests.tidy.tree import ROOT
from reactor.tests.web.site import Site

HERE = Path(__file__).parent
RELEASE = re.compile(r"\d+\.\d+")
TAKEN = ("reactor.yaml", "secrets.example.yaml", "first/file_drop.yaml", "first/http.yaml", "first/schedule.yaml")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f]+-[0-9a-f]+")
MEASURED = ("execution_ms",)
PROSE = ("detail", "message", "hint", "text", "title")  # for people: their words may become better


def releases() -> list[Path]:
    """The folders of the two newest minor releases that are filed."""
    found = [each for each in HERE.iterdir() if RELEASE.fullmatch(each.name)]
    return sorted(found, key=lambda each: tuple(int(part) for part in each.name.split(".")))[-2:]


def whole(value: Any) -> Any:
    """A definition with every field, those that have their default too: a default that changes is a change."""
    if isinstance(value, msgspec.Struct):
        return {name: whole(item) for name, item in msgspec.structs.asdict(value).items()}
    if isinstance(value, dict):
        return {str(name): whole(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [whole(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def definitions(project: Path) -> tuple[dict[str, Any], list[str]]:
    """What is read from a project's workflows today, by name; and the errors."""
    app = App(project=project, listen=False)
    result = load_files(sorted(project.rglob("workflows/*.yaml")), app.vocabulary())
    return {each.workflow: whole(each) for each in result.definitions}, [e.message for e in result.diagnostics.errors]


async def answers(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The status and the body of each request, in their order, on an empty store."""
    found: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    async with Site() as site:
        for request in requests:
            path = request["path"].format(**names)
            options: dict[str, Any] = {"headers": {"content-type": request.get("type", "application/json")}}
            if "text" in request:
                options["data"] = request["text"]
            elif "json" in request:
                options["json"] = request["json"]
            reply = await site.call(request["method"], path, **options)
            body = reply.json if reply.body else None
            for name, place in request.get("keep", {}).items():
                names[name] = str(at(body, place))
            if "run" in names:
                await site.app.runs_api.outcome(names["run"])
            found.append({"status": reply.status, "body": plain(body)})
    return found


def at(value: Any, place: str) -> Any:
    """A part of an answer: `runs.0`."""
    for part in place.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def plain(value: Any, name: str = "") -> Any:
    """An answer without what is another one each time (instants, ids of runs, what was measured) and without prose."""
    if isinstance(value, dict):
        return {key: plain(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if name in PROSE and isinstance(value, str):
        return "<text>"
    if isinstance(value, str):
        return RUN.sub("<run>", INSTANT.sub("<instant>", value))
    return "<number>" if name in MEASURED and value is not None else value


def changes(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where something new says another thing than the old did. What is there beside it is no change."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, item in old.items():
            here = f"{place}.{key}" if place else key
            if key in new:
                yield from changes(item, new[key], here)
            else:
                yield f"{here} is gone"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from changes(one, other, f"{place}[{number}]")
    elif old != new or type(old) is not type(new):
        yield f"{place} was {old!r} and is {new!r}"


def write(folder: Path) -> None:
    """File this version."""
    shutil.rmtree(folder, ignore_errors=True)
    project = folder / "project"
    shutil.copytree(ROOT / "examples" / "workflows", project / "workflows")
    for each in TAKEN:
        source = ROOT / "examples" / each
        shutil.copy(source, project / "workflows" if source.parent.name == "first" else project)
    found, errors = definitions(project)
    assert not errors, errors
    said = asyncio.run(answers(REQUESTS))
    exchanges = [{"request": request, **answer} for request, answer in zip(REQUESTS, said, strict=True)]
    for name, body in (("definitions", found), ("answers", exchanges)):
        text = msgspec.json.format(msgspec.json.encode(body), indent=1)
        (folder / f"{name}.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    write(HERE / ".".join(reactor.__version__.split(".")[:2]))
