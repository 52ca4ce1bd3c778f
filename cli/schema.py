"""`schema`: the JSON Schema of workflow files and of reactor.yaml, or of one action."""

from __future__ import annotations

import os

from ..core.errors import PermanentError
from ..language.diagnostics import did_you_mean
from ..language.schema import published_schema
from . import output
from .parsing import Given
from .place import find


def schema(given: Given) -> None:
    """Print it, as JSON unless YAML is asked for."""
    app = find(given.project, os.environ).app(listen=False)
    vocabulary = app.project.vocabulary(app.words(schemas=True), app.secrets)
    name = given.text("action")
    form = "yaml" if given.output == "yaml" else "json"
    if not name:
        output.dump(published_schema(vocabulary), form)
        return
    words = vocabulary.actions.get(name)
    if words is None:
        raise PermanentError(
            f"there is no action `{name}`", code="not_found", hint=did_you_mean(name, vocabulary.actions)
        )
    keys = words.inputs or {"type": "object"}
    output.dump({**keys, "title": name, "description": words.description or keys.get("description", "")}, form)
