"""A definition → the language's own spelling, so that loading it again gives an equal definition (signatures first)."""

from __future__ import annotations

from typing import Any

from .definition import WorkflowDefinition


def to_mapping(definition: WorkflowDefinition) -> dict[str, Any]:
    """Plain data as people would write it: keys with their default are left out, durations have a unit."""


def to_yaml(definition: WorkflowDefinition) -> str:
    """YAML 1.2 text."""


def to_json(definition: WorkflowDefinition) -> str:
    """JSON text, indented."""
