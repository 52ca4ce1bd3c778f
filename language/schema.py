"""The published JSON Schema (draft 2020-12) of workflow files and of `reactor.yaml`, made of the loader's own tables.

It gives editors completion and the first checks; the loader knows more (expressions, names, dependencies).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalogue import Catalogue
from .loader_steps import steps_schema
from .loader_triggers import COMMON
from .loader_when import when_schema
from .loader_workflow import WORKFLOW
from .project_keys import NAMED, PROJECT
from .values import is_mapping

DRAFT = "https://json-schema.org/draft/2020-12/schema"
TITLE = "Reactor"
DEPTH_MAX = 12  # of an action's own schema: deeper parts take anything


def workflow_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of one document of a workflow file."""
    return {"$schema": DRAFT, "title": f"{TITLE}: a workflow", **_workflow(), "$defs": _definitions(catalogue)}


def project_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of `reactor.yaml`."""
    return {"$schema": DRAFT, "title": f"{TITLE}: a project", **_project(catalogue), "$defs": _kinds(catalogue)}


def published_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The one schema that takes both: a document with `workflow` is a workflow, any other a project."""
    return {
        "$schema": DRAFT,
        "title": TITLE,
        "if": {"required": ["workflow"]},
        "then": {"$ref": "#/$defs/workflow"},
        "else": {"$ref": "#/$defs/project"},
        "$defs": {"workflow": _workflow(), "project": _project(catalogue), **_definitions(catalogue)},
    }


def _workflow() -> dict[str, Any]:
    schema = WORKFLOW.schema()
    schema["properties"]["steps"] = {"$ref": "#/$defs/steps", "description": WORKFLOW.keys["steps"].description}
    return schema


def _definitions(catalogue: Catalogue) -> dict[str, Any]:
    kinds = {kind: {"$ref": f"#/$defs/kind_{kind}"} for kind in catalogue.kinds}
    return {**steps_schema(_with(catalogue)), "when": when_schema(kinds), **_kinds(catalogue), **_inputs(catalogue)}


def _with(catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """For each action the schema of its short form."""
    return {
        name: {"$ref": f"#/$defs/with_{name}"}
        if words.inputs is not None
        else {"description": words.description or f"short for uses: {name}"}
        for name, words in sorted(catalogue.actions.items())
    }


def _inputs(catalogue: Catalogue) -> dict[str, Any]:
    return {
        f"with_{name}": _lenient(words.inputs, words.description)
        for name, words in catalogue.actions.items()
        if words.inputs is not None
    }


def _kinds(catalogue: Catalogue) -> dict[str, Any]:
    """The keys of each trigger kind; a kind with a short form also takes a text or a list."""
    found: dict[str, Any] = {}
    for name, words in catalogue.kinds.items():
        keys = {"type": "object"} if words.inputs is None else _lenient(words.inputs, "")
        short = [{"type": "string"}, {"type": "array"}] if words.short else []
        found[f"kind_{name}"] = {"anyOf": [keys, *short], "description": words.description}
    return found


def _lenient(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    """An action's own schema, where every value may also be a text with `${{ }}`; `$ref` are written out."""
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    lenient = _templated({key: value for key, value in schema.items() if key != "$defs"}, definitions, top=True)
    return lenient | ({"description": description} if description else {})


def _templated(schema: Any, definitions: Mapping[str, Any], *, top: bool = False, depth: int = 0) -> Any:
    if not is_mapping(schema) or depth > DEPTH_MAX:
        return {}
    words = schema
    reference = words.get("$ref")
    if isinstance(reference, str):
        return _templated(definitions.get(reference.rpartition("/")[2], {}), definitions, depth=depth + 1)
    out = dict(words)
    for key in ("properties", "patternProperties"):
        if key in out:
            out[key] = {name: _templated(item, definitions, depth=depth + 1) for name, item in out[key].items()}
    for key in ("items", "additionalProperties"):
        if is_mapping(out.get(key)):
            out[key] = _templated(out[key], definitions, depth=depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in out:
            out[key] = [_templated(item, definitions, top=True, depth=depth + 1) for item in out[key]]
    if top:
        return out
    return {"anyOf": [out, TEMPLATED], **{key: out[key] for key in ("description", "default") if key in out}}


TEMPLATED: dict[str, Any] = {"type": "string", "pattern": r"\$\{\{"}


def _project(catalogue: Catalogue) -> dict[str, Any]:
    schema = PROJECT.schema()
    triggers = {
        kind: {
            "type": "object",
            "properties": {kind: {"$ref": f"#/$defs/kind_{kind}"}, **COMMON.schema()["properties"]},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind in catalogue.kinds
    }
    connections = {
        kind: {
            "type": "object",
            "properties": {
                kind: {"type": "object"} if words.inputs is None else _lenient(words.inputs, words.description)
            },
            "required": [kind],
            "additionalProperties": False,
        }
        for kind, words in catalogue.connection_kinds.items()
    }
    schema["properties"]["triggers"] = _named(triggers, PROJECT.keys["triggers"].description)
    schema["properties"]["connections"] = _named(connections, PROJECT.keys["connections"].description)
    return schema


def _named(kinds: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "propertyNames": NAMED.schema(),
        "additionalProperties": {"anyOf": list(kinds.values())} if kinds else {},
    }
