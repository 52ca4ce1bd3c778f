"""What is said of a step beside its action: `retry`, `on_error`, `compensate`, `needs`.

Source: the language page, section 3; the actions page, section 1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from ..core.limits import WAIT_S_MAX
from .definition import Compensate, Reaction, Retry
from .diagnostics import Path, did_you_mean, nearest
from .fields import CEL, AnyValue, Choice, Custom, Duration, Flag, ListOf, Number, Text
from .reader import INVALID, Reader
from .table import Key, Table, all_under_new_names
from .values import is_list, is_mapping

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
CODE = re.compile(r"\*|[a-z][a-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*", re.ASCII)
STEP_NAME = Text(NAME, "a name: a letter, then letters, digits, _ and -")
ERROR_CODE = Text(CODE, "an error code such as timeout or http.5xx, or *")
TIMEOUT = Duration(0.001, WAIT_S_MAX)
ATTEMPTS_MAX = 10_000
REACTIONS = ("continue", "fail_fast", "compensate")

RETRY = Table(
    "`retry`",
    {
        "attempts": Key(Number(1, ATTEMPTS_MAX, whole=True), "executions in all, the first included", default=3),
        "backoff": Key(Choice(("exponential", "linear", "fixed")), "how the wait grows", default="exponential"),
        "delay": Key(Duration(0, WAIT_S_MAX), "the first wait", "delay_s", default="1s"),
        "factor": Key(Number(1, 1000), "each wait is so many times the one before (exponential)", default=2),
        "max_delay": Key(Duration(0, WAIT_S_MAX), "the longest wait", "max_delay_s", default="5m"),
        "jitter": Key(Flag(), "shorten each wait by chance, so that many do not come at once", default=False),
        "on": Key(
            ListOf(ERROR_CODE, "a list of error codes"), "the codes that are retried; those of class retry if not given"
        ),
        "if": Key(CEL, "and only if this holds; reads `error`", "if_"),
    },
)
RETRY_OF_WORKFLOW = Table(
    "the workflow's `retry`",
    {**RETRY.keys, "limit": Key(Number(0, 1_000_000, whole=True), "repetitions of all steps of one run together")},
)


def read_retry(reader: Reader, value: Any, path: Path) -> Any:
    """A step's retry policy."""
    read = RETRY.read(reader, value, path, hint="write {} for three attempts")
    return INVALID if read is None else Retry(**read)


RETRY_FIELD = Custom(read_retry, RETRY.schema)


def read_needs(reader: Reader, value: Any, path: Path) -> Any:
    """`all`, or a tuple of step names without repetitions."""
    if value == "all":
        return "all"
    if not is_list(value):
        hint = f"write [{value}]" if isinstance(value, str) else ""
        return reader.wrong_type(path, "a list of step names, or all", value, hint)
    names: list[str] = []
    for number, item in enumerate(value):
        name = STEP_NAME.read(reader, item, (*path, number))
        if name in names:
            reader.error(
                "duplicate_name", (*path, number), f"`{name}` stands twice in `needs`", hint="remove one of them"
            )
        elif name is not INVALID:
            names.append(name)
    return tuple(names)


NEEDS = Custom(
    read_needs,
    lambda: {"anyOf": [{"const": "all"}, {"type": "array", "items": STEP_NAME.schema(), "uniqueItems": True}]},
)


def read_reactions(reader: Reader, value: Any, path: Path) -> Any:
    """`on_error` of a step: a mapping from code patterns, or one word for every error."""
    if isinstance(value, str):
        word = reader.choice(path, value, REACTIONS)
        return INVALID if word is INVALID else (Reaction("*", word),)
    entries = reader.mapping(path, value, "a mapping of error codes, or one of " + ", ".join(REACTIONS))
    if entries is None:
        return INVALID
    reactions: list[Reaction] = []
    for pattern, item in entries.items():
        here = (*path, pattern)
        if CODE.fullmatch(pattern) is None:
            reader.error(
                "wrong_form",
                here,
                f"`{pattern}` is not an error code such as timeout or http.5xx, or *",
                key=True,
                found=pattern,
            )
            continue
        reaction = _reaction(reader, pattern, item, here)
        if reaction is not None:
            reactions.append(reaction)
    _unreached(reader, reactions, path)
    return tuple(reactions)


def _reaction(reader: Reader, pattern: str, item: Any, path: Path) -> Reaction | None:
    if not is_mapping(item):
        word = reader.choice(path, item, (*REACTIONS, "retry"))
        if word == "retry":
            reader.wrong_type(
                path, "continue, fail_fast, compensate or {retry: {…}}", item, "write {retry: {attempts: 3}}"
            )
            return None
        return None if word is INVALID else Reaction(pattern, word)
    if list(item) != ["retry"]:
        keys = ", ".join(item) or "nothing"
        reader.error(
            "wrong_type",
            path,
            f"`{pattern}` as a mapping holds `retry` alone; found {keys}",
            hint="write {retry: {attempts: 3}}",
        )
        return None
    retry = read_retry(reader, item["retry"], (*path, "retry"))
    return None if retry is INVALID else Reaction(pattern, "retry", retry)


def _unreached(reader: Reader, reactions: list[Reaction], path: Path) -> None:
    """The first that matches wins: what stands after `*` is never looked at."""
    for number, reaction in enumerate(reactions[:-1]):
        if reaction.pattern == "*":
            after = reactions[number + 1].pattern
            reader.error(
                "unreachable",
                (*path, after),
                f"`{after}` stands after `*`, which takes every error",
                key=True,
                hint='put "*" last',
            )
            return


REACTIONS_FIELD = Custom(
    read_reactions,
    lambda: {
        "anyOf": [
            {"enum": list(REACTIONS)},
            {
                "type": "object",
                "propertyNames": {"pattern": f"^(?:{CODE.pattern})$"},
                "additionalProperties": {
                    "anyOf": [
                        {"enum": list(REACTIONS)},
                        {
                            "type": "object",
                            "properties": {"retry": RETRY.schema()},
                            "required": ["retry"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
        ]
    },
)

COMPENSATE = Table(
    "`compensate`",
    {
        "when": Key(
            Choice(("completed", "failed", "both")),
            "undo the step if it completed, if it failed, or both",
            default="completed",
        ),
        "if": Key(CEL, "and only if this holds; reads `output` and `error`", "if_"),
        "uses": Key(Text(), "the action that undoes"),
        "with": Key(AnyValue(), "its inputs", "with_"),
        "retry": Key(RETRY_FIELD, "how often it is tried"),
        "timeout": Key(TIMEOUT, "for one attempt", "timeout_s"),
    },
    ("key", "block"),
)


def read_compensate(reader: Reader, value: Any, path: Path) -> Any:
    """How a step is undone; the action by `uses` or in its short form."""
    entries = reader.mapping(path, value, "a mapping with an action")
    if entries is None:
        return INVALID
    entries = COMPENSATE.current(reader, entries, path)
    short = short_action(reader, entries, path, COMPENSATE)
    skip = action_keys(reader, entries, path, COMPENSATE, short)
    read = COMPENSATE.read(reader, entries, path, skip=skip) or {}
    if short is not None:
        read["uses"], read["with_"] = short, entries[short]
    elif "uses" not in read:
        if "uses" not in entries and not skip:
            reader.missing(path, "uses", "`compensate`", "name the action that undoes the step")
        return INVALID
    else:
        check_action(reader, read["uses"], (*path, "uses"))
    keys_of_today(reader, read, (*path, short or "with"))
    return Compensate(**read)


COMPENSATE_FIELD = Custom(read_compensate, COMPENSATE.schema)


def keys_of_today(reader: Reader, read: dict[str, Any], path: Path) -> None:
    """Give the action's own keys the names of today, where its `with` has older ones."""
    words = reader.catalogue.actions.get(read.get("uses", ""))
    if words is not None and read.get("with_") is not None:
        read["with_"] = all_under_new_names(reader, words.renames, read["with_"], path)


def short_action(reader: Reader, entries: dict[str, Any], path: Path, table: Table) -> str | None:
    """The key that is an action's short form; two actions, or one beside `uses`, are an error."""
    actions = reader.catalogue.actions
    named = [key for key in entries if key not in table.keys and (key in actions or _is_missing_action(reader, key))]
    if "uses" in entries:
        named.insert(0, "uses")
    if len(named) > 1:
        reader.error(
            "two_actions", (*path, named[1]), f"{table.whole} has one action; found `{named[0]}` and `{named[1]}`",
            key=True, found=named[1], hint="make it a step of its own",
        )  # fmt: skip
    if not named or named[0] == "uses":
        return None
    if named[0] not in actions:
        reader.unavailable("action", named[0], (*path, named[0]), key=True)
    elif "with" in entries:
        reader.error(
            "two_actions", (*path, "with"), f"`with` goes with `uses`; `{named[0]}` holds its inputs itself",
            key=True, hint=f"move its keys under `{named[0]}`",
        )  # fmt: skip
    return named[0]


def _is_missing_action(reader: Reader, key: str) -> bool:
    return reader.catalogue.unavailable("action", key) is not None


def action_keys(
    reader: Reader, entries: dict[str, Any], path: Path, table: Table, short: str | None, blocks: Collection[str] = ()
) -> Collection[str]:
    """The keys that are not the table's own and need no further error: the action, and what was told here.

    Where there is no action, the one unknown key was probably meant to be one.
    """
    actions = reader.catalogue.actions
    unknown = [key for key in entries if key not in table.keys and key != short and key not in blocks]
    told = {key for key in unknown if key in actions or _is_missing_action(reader, key)}
    if short is None and "uses" not in entries and not any(key in entries for key in blocks):
        rest = [key for key in unknown if key not in told and not _is_word(reader, key, table)]
        near = nearest(rest[0], table.keys) if len(rest) == 1 else None
        if len(rest) == 1 and near is None:
            reader.error(
                "unknown_action", (*path, rest[0]), f"`{rest[0]}` is neither an action nor a key of {table.whole}",
                key=True, found=rest[0], hint=did_you_mean(rest[0], [*actions, *blocks]),
            )  # fmt: skip
            told.add(rest[0])
    return told if short is None else told | {short}


def _is_word(reader: Reader, key: str, table: Table) -> bool:
    return any(reader.catalogue.unavailable(word, key) is not None for word in table.words)


def check_action(reader: Reader, name: str, path: Path) -> None:
    """Tell it if `uses` names no action."""
    actions = reader.catalogue.actions
    if name not in actions and not reader.unavailable("action", name, path):
        reader.error(
            "unknown_action", path, f"there is no action `{name}`", found=name, hint=did_you_mean(name, actions)
        )
