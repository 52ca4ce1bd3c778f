"""Steps and blocks: lists and mappings of steps, actions in long and short form.

Source: the language page, section 3.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.limits import DEFINITION_DEPTH_MAX, STEPS_MAX
from .definition import Block, Group, Parallel, Step, Steps, Try
from .diagnostics import Path
from .fields import CEL, AnyValue, Choice, Custom, Flag, ListOf, MapOf, Number, SchemaValue, Text
from .loader_policies import (
    COMPENSATE,
    COMPENSATE_FIELD,
    NAME,
    NEEDS,
    REACTIONS_FIELD,
    RETRY_FIELD,
    STEP_NAME,
    TIMEOUT,
    action_keys,
    check_action,
    keys_of_today,
    short_action,
)
from .reader import INVALID, Reader
from .table import Key, Table
from .values import found, is_mapping

BLOCKS = ("parallel", "try", "group")
TAGS = ListOf(Text(), "a list of texts")

_COMMON = {
    "if": Key(CEL, "skipped unless this holds", "if_"),
    "unless": Key(CEL, "skipped if this holds"),
    "needs": Key(NEEDS, "the steps it waits for, beside those whose output it reads; all: every other"),
    "retry": Key(RETRY_FIELD, "repeat it when it fails; {} means 3 attempts, 1s apart, factor 2"),
    "timeout": Key(TIMEOUT, "for one attempt", "timeout_s"),
    "on_error": Key(REACTIONS_FIELD, "what to do with an error that is left after `retry`"),
    "compensate": Key(COMPENSATE_FIELD, "how it is undone when the run fails or is cancelled"),
    "tags": Key(TAGS, "free words"),
}
STEP = Table(
    "a step",
    {
        "uses": Key(Text(), "the action; `<action>: {…}` is short for `uses` and `with`"),
        "with": Key(AnyValue(), "the action's inputs", "with_"),
        **_COMMON,
        "output": Key(SchemaValue(), "what its output must be"),
        "at_most_once": Key(Flag(), "never a second call: a crash in between is the error interrupted", default=False),
        "isolation": Key(Choice(("task", "thread", "process")), "where a Python function runs"),
        "parallel": Key(Flag(), "false: it runs alone", default=True),
        "intensity": Key(Number(0, 1024), "cores it keeps busy; 0 for waiting on others", default=1),
    },
    ("key", "block"),
)
BLOCK_STEP = Table("a block's step", _COMMON, ("key", "block"))


@dataclass(frozen=True, slots=True)
class StepPlace:
    """Where a step stands in the document: itself, its inputs, the inputs of its `compensate`."""

    path: Path
    with_: Path
    compensate_with: Path


@dataclass(slots=True)
class StepPlaces:
    """The places of a workflow's steps by name, which is unique in a workflow."""

    steps: dict[str, StepPlace] = field(default_factory=dict[str, StepPlace])
    given: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Of steps that run a workflow: the types of the inputs that they compute, as far as they are known."""


def read_steps(
    reader: Reader, value: Any, path: Path, places: StepPlaces, unnamed: str = "step", depth: int = 0
) -> Steps | None:
    """A list of steps, each after the one before, or a mapping of steps, a graph. None if it is neither.

    An item without a name is called `unnamed` and its place: `step1`, in a block `<block>_step1`, `<block>_<branch>1`.
    """
    if depth > DEFINITION_DEPTH_MAX:
        reader.error(
            "too_deep", path, f"blocks are nested deeper than {DEFINITION_DEPTH_MAX} levels", hint="nest less deeply"
        )
        return None
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]  # JSON values
        named = [_of_list(reader, item, (*path, n), f"{unnamed}{n + 1}") for n, item in enumerate(items)]
        entries = [(entry[0], entry[1], (*path, number)) for number, entry in enumerate(named) if entry is not None]
    elif is_mapping(value):
        items = list(value)
        entries = [(name, value[name], (*path, name)) for name in items if _named(reader, name, (*path, name))]
    else:
        reader.wrong_type(path, "a list or a mapping of steps", value)
        return None
    if not items:
        reader.error(
            "missing_key", path, f"`{path[-1]}` needs at least one step", expected="a step", found=found(value)
        )
        return None
    steps: list[Step] = []
    for name, item, here in entries:
        if len(places.steps) >= STEPS_MAX:
            hint = "split the workflow, and use run-workflow"
            reader.error("too_large", here, f"a workflow has at most {STEPS_MAX} steps", hint=hint)
            break
        if _unique(reader, name, here, places):
            steps.append(_read_step(reader, name, item, here, places, depth))
    return Steps(tuple(steps), isinstance(value, list))


def _named(reader: Reader, name: str, path: Path) -> bool:
    if NAME.fullmatch(name):
        return True
    reader.error(
        "wrong_form",
        path,
        f"`{name}` is not {STEP_NAME.form_words}",
        key=True,
        expected=STEP_NAME.form_words,
        found=name,
    )
    return False


def _of_list(reader: Reader, item: Any, path: Path, unnamed: str) -> tuple[str, dict[str, Any]] | None:
    """Name and keys of an item."""
    entries = reader.mapping(path, item, "a step", "write {name: a, log: {message: hello}}")
    if entries is None:
        return None
    name: Any = unnamed
    if "name" in entries:
        name = STEP_NAME.read(reader, entries["name"], (*path, "name"))
        entries = {key: value for key, value in entries.items() if key != "name"}
    return None if name is INVALID else (name, entries)


def _unique(reader: Reader, name: str, path: Path, places: StepPlaces) -> bool:
    first = places.steps.get(name)
    if first is None:
        return True
    line = reader.key_place(first.path).line
    where = f" on line {line}" if line else ""
    at = (*path, "name") if isinstance(path[-1], int) else path
    reader.error(
        "duplicate_name", at, f"there is a step `{name}` already{where}; step names are unique in a workflow",
        key=at == path, found=name, hint="give one of them another name",
    )  # fmt: skip
    return False


def _read_step(reader: Reader, name: str, value: Any, path: Path, places: StepPlaces, depth: int) -> Step:
    undo = (*path, "compensate", "with")
    places.steps[name] = StepPlace(path, (*path, "with"), undo)
    entries = reader.mapping(path, value, "a step", "write {log: {message: hello}}")
    if entries is None:
        return Step(name)
    entries = STEP.current(reader, entries, path)
    if "name" in entries:  # of an item of a list it is taken away before
        reader.error(
            "unknown_key", (*path, "name"), "`name` is for steps in a list; in a mapping the key is the name",
            key=True, found="name", hint=f"remove it; the step is called `{name}`",
        )  # fmt: skip
        entries = {key: item for key, item in entries.items() if key != "name"}
    block = next((key for key in BLOCKS if key in entries and not isinstance(entries[key], bool)), None)
    short = short_action(reader, entries, path, STEP)
    if block is None:
        read = _read_action(reader, entries, path, short)
    else:
        told = _beside_block(reader, entries, path, block, short)
        read = BLOCK_STEP.read(reader, entries, path, skip=told) or {}
        read["block"] = _read_block(reader, name, block, entries[block], (*path, block), places, depth + 1)
    places.steps[name] = StepPlace(path, (*path, short or "with"), _undo_place(reader, entries, path))
    if read.get("needs") == "all":
        read["needs"], read["needs_all"] = (), True
    return Step(name, **read)


def _undo_place(reader: Reader, entries: Mapping[str, Any], path: Path) -> Path:
    handler = entries.get("compensate")
    if is_mapping(handler) and "uses" not in handler:
        short = next((key for key in handler if key in reader.catalogue.actions and key not in COMPENSATE.keys), "with")
        return (*path, "compensate", short)
    return (*path, "compensate", "with")


def _read_action(reader: Reader, entries: dict[str, Any], path: Path, short: str | None) -> dict[str, Any]:
    skip = action_keys(reader, entries, path, STEP, short, BLOCKS)
    read = STEP.read(reader, entries, path, skip=skip) or {}
    if short is not None:
        read["uses"], read["with_"] = short, entries[short]
    elif "uses" in read:
        check_action(reader, read["uses"], (*path, "uses"))
    elif all(key in STEP.keys and key != "uses" for key in entries):
        reader.missing(path, "uses", "a step", "name an action, such as `log: {message: hello}`, or a block")
    keys_of_today(reader, read, (*path, short or "with"))
    return read


def _beside_block(
    reader: Reader, entries: Mapping[str, Any], path: Path, block: str, short: str | None
) -> Collection[str]:
    """The keys beside a block that need no further error: a block is no action, and only one block."""
    told = {block}
    for key in entries:
        if key == block or key in BLOCK_STEP.keys:
            continue
        if key in BLOCKS or key in (short, "uses"):
            reader.error(
                "two_actions", (*path, key), f"a step is one block or one action; found `{block}` and `{key}`",
                key=True, found=key, hint="make it a step of its own",
            )  # fmt: skip
            told.add(key)
        elif key in STEP.keys:
            reader.error(
                "unknown_key", (*path, key), f"`{key}` belongs to an action; it cannot stand beside `{block}`",
                key=True, found=key, hint="put it on the steps inside the block",
            )  # fmt: skip
            told.add(key)
    return told


def _read_block(
    reader: Reader, name: str, block: str, value: Any, path: Path, places: StepPlaces, depth: int
) -> Block | None:
    entries = reader.mapping(path, value)
    if entries is None:
        return None
    table = BLOCK_TABLES[block]
    for key in entries:
        if key not in table.keys:
            reader.unknown_key((*path, key), table.whole, table.keys, table.words)
    for key, item in table.keys.items():
        if item.required and key not in entries:
            reader.missing(path, key, table.whole)

    def part(key: str) -> Steps | None:
        unnamed = f"{name}_{'step' if key == 'steps' else key}"
        return read_steps(reader, entries[key], (*path, key), places, unnamed, depth) if key in entries else None

    if block == "parallel":
        return _read_parallel(reader, name, entries, path, places, depth)
    steps = part("steps")
    if block == "group":
        return None if steps is None else Group(steps)
    catch, finally_ = part("catch"), part("finally")
    if "steps" in entries and "catch" not in entries and "finally" not in entries:
        reader.warning("useless", path, "`try` without `catch` and `finally` catches nothing", hint="write `group`")
    return None if steps is None else Try(steps, catch, finally_)


def _read_parallel(
    reader: Reader, name: str, entries: dict[str, Any], path: Path, places: StepPlaces, depth: int
) -> Parallel | None:
    if "join" in entries:
        join = entries["join"]
        word = next(iter(join)) if is_mapping(join) and len(join) == 1 else join
        if not (isinstance(word, str) and word != "all" and reader.unavailable("join", word, (*path, "join"))):
            reader.choice((*path, "join"), join, ("all",), "join")
    if "branches" not in entries:
        return None
    here = (*path, "branches")
    branches = reader.mapping(here, entries["branches"], "a mapping from branch names to steps")
    if branches is None:
        return None
    if not branches:
        reader.error("missing_key", here, "`branches` needs at least one branch", expected="a branch")
    read: dict[str, Steps] = {}
    for branch, item in branches.items():
        if _named(reader, branch, (*here, branch)):
            steps = read_steps(reader, item, (*here, branch), places, f"{name}_{branch}", depth)
            if steps is not None:
                read[branch] = steps
    return Parallel(read) if read else None


STEPS = Custom(
    lambda reader, value, path: read_steps(reader, value, path, StepPlaces()), lambda: {"$ref": "#/$defs/steps"}
)
PARALLEL = Table(
    "`parallel`",
    {
        "branches": Key(MapOf(STEPS), "the branches by name, each of steps", required=True),
        "join": Key(Choice(("all",), "join"), "all branches must succeed", default="all"),
    },
)
TRY = Table(
    "`try`",
    {
        "steps": Key(STEPS, "what is tried", required=True),
        "catch": Key(STEPS, "what is done when a step failed; reads `error`"),
        "finally": Key(STEPS, "what is done in any case"),
    },
)
GROUP = Table("`group`", {"steps": Key(STEPS, "the steps under one name", required=True)})
BLOCK_TABLES = {"parallel": PARALLEL, "try": TRY, "group": GROUP}


def steps_schema(actions: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The definitions of the published schema for steps; `actions`: the schema of each action's short form."""
    keys = STEP.schema()["properties"]
    keys["uses"] = {"enum": sorted(actions), "description": STEP.keys["uses"].description}
    blocks = {name: table.schema() for name, table in BLOCK_TABLES.items()}
    flag = {"type": "boolean", "description": keys["parallel"]["description"]}
    blocks["parallel"] = {"anyOf": [flag, blocks["parallel"]]}
    properties: dict[str, Any] = {**keys, **actions, **blocks}
    one_of: list[dict[str, Any]] = [{"required": [name]} for name in ("uses", *sorted(actions), "try", "group")]
    one_of.append({"required": ["parallel"], "properties": {"parallel": {"type": "object"}}})
    undo = COMPENSATE.schema()
    undo["properties"] = {**undo["properties"], "uses": keys["uses"], **actions}
    undo["oneOf"] = [{"required": [name]} for name in ("uses", *sorted(actions))]
    properties["compensate"] = {**undo, "description": keys["compensate"]["description"]}
    step = {"type": "object", "properties": properties, "additionalProperties": False, "oneOf": one_of}
    named = {**step, "properties": {"name": STEP_NAME.schema(), **properties}}
    step_of_mapping = {"propertyNames": STEP_NAME.schema(), "additionalProperties": {"$ref": "#/$defs/step"}}
    mapping = {"type": "object", "minProperties": 1, **step_of_mapping}
    listed = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/named_step"}}
    return {"steps": {"anyOf": [listed, mapping]}, "step": step, "named_step": named}
