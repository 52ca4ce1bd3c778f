"""The published schema takes what the loader takes, and refuses what is wrong in form."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from reactor.language.built_in import BUILT_IN
from reactor.language.diagnostics import Diagnostics
from reactor.language.documents import load_document, load_documents
from reactor.language.json_schema import compile_schema
from reactor.language.schema import project_schema, published_schema, workflow_schema
from reactor.tests.language.test_export import HEAD, INPUTS, STEPS, _named
from reactor.tests.language.test_loader import WHOLE as WORKFLOW
from reactor.tests.language.test_project import WHOLE as PROJECT

SCHEMA = published_schema(BUILT_IN)
REFERENCE = jsonschema.Draft202012Validator(SCHEMA)
FAULTY = Path(__file__).parent / "faulty"
# what is wrong in these only shows when names, expressions or several parts are looked at
DEEPER = (
    "block_reads_itself",
    "block_retry",
    "carried_out_once",
    "cycle_in_list",
    "cycles",
    "duplicate_steps",
    "expressions",
    "mapped_inputs",
    "needs",
    "parallel_true",
    "secrets_elsewhere",
    "unknown_names",
    "unreachable",
    "wait_by_template",
    "wait_events",
    "warnings",
    "what_actions_say",
    "wrong_conditions",
)
FORMS = sorted(path for path in FAULTY.glob("*.yaml") if path.stem not in DEEPER)


def value(text: str) -> Any:
    document = load_document(text)
    assert document is not None
    return document.value


def test_they_are_schemas() -> None:
    for schema in (SCHEMA, workflow_schema(BUILT_IN), project_schema(BUILT_IN)):
        jsonschema.Draft202012Validator.check_schema(schema)
        compile_schema(schema)


@pytest.mark.req("E-DEF-13")
def test_every_key_has_a_description() -> None:
    for name in ("workflow", "project"):
        for key, schema in SCHEMA["$defs"][name]["properties"].items():
            assert schema.get("description"), key
    for key, schema in SCHEMA["$defs"]["step"]["properties"].items():
        assert schema.get("description") or "anyOf" in schema or schema.get("type") == "object", key


@pytest.mark.parametrize("text", [WORKFLOW, PROJECT], ids=["workflow", "project"])
def test_every_key_of_the_language_is_taken(text: str) -> None:
    assert not [error.message for error in REFERENCE.iter_errors(value(text))]


@given(HEAD, STEPS)
def test_whatever_loads_is_taken(head: dict[str, Any], steps: Any) -> None:
    written = {"workflow": "a.b-c", "inputs": INPUTS, **head, "steps": _named(steps, [0])}
    assert not [error.message for error in REFERENCE.iter_errors(written)]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_what_is_wrong_in_form_is_refused(path: Path) -> None:
    documents = load_documents(path.read_bytes(), path.name, Diagnostics())
    assert any(not REFERENCE.is_valid(document.value) for document in documents)
