"""The published JSON Schema (draft 2020-12) of workflow files and of `reactor.yaml` (signatures first)."""

from __future__ import annotations

from typing import Any

from .catalogue import Catalogue


def workflow_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of one document of a workflow file."""


def project_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of `reactor.yaml`."""


def published_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The one schema that takes both: a document with `workflow` is a workflow, any other a project."""
