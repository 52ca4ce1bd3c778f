"""Compiles the expressions of one document with the names of their places, and tells what is wrong in them.

Source: the language page, section 1 (names, types of guards, warnings).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from .cel import Expression, check_expression
from .diagnostics import Diagnostic, Path, did_you_mean
from .reader import Reader
from .scope import Scope, article
from .templates import Compiled, check_value, has_template
from .values import is_list, is_mapping

Want = Literal["bool", "time", ""]
Reads = frozenset[Path]
NO_READS: Reads = frozenset()

_NO_NAME = re.compile(r"there is no name (\w+) here")
_NO_FIELD = re.compile(r"(secrets|steps|inputs|vars|env) has no field (.+)")
_BARE = re.compile(r"\b(?:event|inputs|steps|vars|env|run|error|output)(?:\.|\[)")
_ELSEWHERE = {
    "secrets": "they are read under `with` of actions that send them on, in `connections` and in a trigger's `auth`",
    "steps": "steps are read by steps and in `outputs`",
    "inputs": "there are inputs only once a run exists: read `event` here",
    "run": "there is a run only once its steps start",
    "event": "`event` is read in `when`, in a trigger's `id`, `type` and `subject`, and by steps",
    "vars": "`outputs` read `inputs`, `steps` and `run`",
    "env": "`outputs` read `inputs`, `steps` and `run`",
    "error": "`error` is read in `catch`, in `retry.if` and in `compensate`",
    "output": "`output` is read in `compensate`; another step's is steps.NAME.output",
}
_LATER = {
    "events": "correlated events and batches come with `all` and `limits.batch`",
    "item": "`item` and `index` come with `for_each`",
    "index": "`item` and `index` come with `for_each`",
}
_DECLARE = {
    "inputs": "declare it under `inputs`",
    "vars": "declare it under `vars`",
    "env": "add it to `env`",
}
_NO_FUNCTION = re.compile(r"the function (\w+) is for .*")
_FIELD_CODES = {
    "secrets": ("missing_secret", "there is no secret `{}`"),
    "steps": ("unknown_step", "there is no step `{}` to read here"),
    "inputs": ("unknown_input", "the workflow has no input `{}`"),
    "vars": ("unknown_var", "there is no `{}` in `vars` of reactor.yaml"),
    "env": ("unknown_env", "`{}` is not in the list `env` of reactor.yaml, so expressions cannot read it"),
}


class Expressions:
    """The expressions of one document. `blocks`: for each step of it the block that it stands in."""

    def __init__(self, reader: Reader, blocks: Mapping[str, str] | None = None) -> None:
        self.reader = reader
        self.blocks = blocks or {}

    def cel(self, text: str, scope: Scope, path: Path, want: Want = "") -> Reads:
        """A key whose whole value is CEL: what it reads."""
        if not text:
            return NO_READS
        stripped = text.strip()
        if stripped.startswith("${{") and stripped.endswith("}}"):
            inner = stripped[3:-2].strip()
            message = f"`{path[-1]}` is CEL as a whole: `${{{{ }}}}` does not belong here"
            self.reader.error("expression.syntax", path, message, found=text, hint=f"write {inner}")
            return NO_READS
        found = check_expression(text, scope)
        if not isinstance(found, Expression):
            self._tell(path, found, scope)
            return NO_READS
        if found.hints:
            self.reader.within(path, found.hints)
        self._wanted(found.type, want, text, path)
        return found.reads

    def _wanted(self, kind: str, want: Want, text: str, path: Path) -> None:
        if want == "bool" and kind not in ("", "boolean"):
            message = f"`{path[-1]}` must be true or false; `{text}` is {article(kind)}"
            hint = "compare it: == != < > in, or has(…) for whether a field is there"
            self.reader.error("wrong_type", path, message, expected="true or false", found=article(kind), hint=hint)
        elif want == "time" and kind not in ("", "timestamp", "string"):
            message = f"`{path[-1]}` must be an instant; `{text}` is {article(kind)}"
            hint = "write timestamp(…), or an RFC 3339 text"
            self.reader.error("wrong_type", path, message, expected="an instant", found=article(kind), hint=hint)

    def value(self, value: Any, scope: Scope, path: Path) -> Compiled | None:
        """Any value with `${{ }}` in its texts; None if there is an error in it."""
        compiled, faults = check_value(value, scope)
        for fault in faults:
            self._tell((*path, *fault.path), [fault], scope)
        if compiled is not None:
            for hint in compiled.hints:
                self.reader.within((*path, *hint.path), [hint])
        self._bare(value, scope, path)
        return compiled

    def _bare(self, value: Any, scope: Scope, path: Path) -> None:
        """Warn where a text is an expression that lacks its `${{ }}`."""
        if isinstance(value, str):
            if _BARE.search(value) is None or has_template(value):
                return
            found = check_expression(value.strip(), scope)
            if isinstance(found, Expression) and found.reads:
                message = f"`{value.strip()}` is text here: only `${{{{ }}}}` is replaced"
                hint = f'write "${{{{ {value.strip()} }}}}"'
                self.reader.warning("bare_expression", path, message, hint=hint)
        elif is_mapping(value):
            for key, item in value.items():
                self._bare(item, scope, (*path, key))
        elif is_list(value):
            for number, item in enumerate(value):
                self._bare(item, scope, (*path, number))

    def _tell(self, path: Path, faults: Iterable[Diagnostic], scope: Scope) -> None:
        self.reader.within(path, [self._explained(fault, scope) for fault in faults])

    def _explained(self, fault: Diagnostic, scope: Scope) -> Diagnostic:
        """An unknown name, in the words of the place where it would be known."""
        function = _NO_FUNCTION.fullmatch(fault.message)
        if function is not None:
            message = f"the function `{function[1]}` is not available in this version"
            return replace(fault, code="unavailable", message=message)
        if fault.code != "expression.name":
            return fault
        name = _NO_NAME.fullmatch(fault.message)
        if name is not None:
            if name[1] in _LATER:
                message = f"`{name[1]}` is not available in this version"
                return replace(fault, code="unavailable", message=message, hint=_LATER[name[1]])
            known = ", ".join(scope.names)
            if name[1] in _ELSEWHERE:
                message = f"`{name[1]}` cannot be read here"
                if name[1] == "event" and "steps" in scope.names:
                    hint = "`outputs` read `inputs`, `steps` and `run`: map what you need to an input"
                    return replace(fault, message=message, expected=known, hint=hint)
                return replace(fault, message=message, expected=known, hint=_ELSEWHERE[name[1]])
            return replace(fault, expected=known)
        field = _NO_FIELD.fullmatch(fault.message)
        if field is None:
            return fault
        code, message = _FIELD_CODES[field[1]]
        hint = self._step_hint(field[2], fault.hint) if field[1] == "steps" else fault.hint
        hint = hint or _DECLARE.get(field[1], "")
        if field[1] == "secrets" and not hint.startswith("did you mean"):
            variable = "REACTOR_SECRET_" + re.sub(r"\W", "_", field[2]).upper()
            hint = f"set it: environment variable {variable}, or a file of `secrets.from` in reactor.yaml"
        return replace(fault, code=code, message=message.format(field[2]), hint=hint)

    def _step_hint(self, name: str, hint: str) -> str:
        if name not in self.blocks:
            return hint if hint.startswith("did you mean") else did_you_mean(name, self.blocks)
        block = self.blocks[name]
        if block:
            return f"it stands inside `{block}`: outside a block only the block's own name is seen"
        return "a step inside a block cannot read that block"
