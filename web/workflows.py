"""The API of workflows: list, show, put in force, remove, switch."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.errors import ConfigError
from ..core.http import Refused
from ..core.pages import bad_cursor, page_rows
from ..language.definition import Loaded
from ..language.diagnostics import Diagnostics
from ..language.loader import load_text
from ..language.loader_workflow import NAME_FORM
from ..language.together import check_together
from .endpoint import PAGE, Answer, Call, Endpoint, Param


async def list_workflows(call: Call) -> dict[str, Any]:
    """A page of workflows, by name."""
    after, limit = call.query.get("cursor", ""), page_rows(call.query.get("limit", 50))
    if after and not NAME_FORM.fullmatch(after):
        raise bad_cursor(after)
    lines = await call.app.workflows_api.list(tags=call.query.get("tag", ()))
    rest = [line for line in lines if line["name"] > after]
    items = rest[:limit]
    return {"items": items, "next": items[-1]["name"] if len(rest) > limit else None}


async def show_workflow(call: Call) -> dict[str, Any]:
    """Everything about one."""
    return await call.app.workflows_api.show(call.params["name"])


async def put_workflow(call: Call) -> Answer:
    """Check a definition and put it in force, durable when answered."""
    name, app = call.params["name"], call.app
    result = load_text(call.raw, f"{name}.yaml", app.vocabulary())
    result.diagnostics.raise_errors()
    names = [one.definition.workflow for one in result.loaded]
    if names != [name]:
        found = ", ".join(f"`{n}`" for n in names) or "none"
        raise Refused(
            422,
            "config",
            f"the text must define the workflow `{name}` and no other; it defines {found}",
            hint="send each workflow to its own address",
        )
    found_together = _together(call, result.loaded[0])
    found_together.raise_errors()
    result.diagnostics.extend(found_together.items)
    new = name not in app.engine.workflows.names()
    changed: list[str] = []
    if not call.query.get("dry_run", False):
        changed = await app.workflows_api.deploy(result.loaded, origin="api")
    definition = result.loaded[0].definition
    found = {
        "name": name,
        "version": definition.version,
        "changed": name in changed,
        "diagnostics": result.diagnostics.to_dicts(),
    }
    return Answer(found, 201 if new and changed else 200)


def _together(call: Call, loaded: Loaded) -> Diagnostics:
    """What is wrong between a definition and those that are there; of older versions only the steps count."""
    own, registry = loaded.definition, call.app.engine.workflows
    others: list[Loaded] = []
    for name in registry.names():
        current = registry.current(name)
        for entry in registry.versions(name).values():
            if (name, entry.definition.version) == (own.workflow, own.version):
                continue
            live = entry is current and name != own.workflow
            definition = entry.definition if live else msgspec.structs.replace(entry.definition, when=())
            others.append(Loaded(definition, {}, entry.loaded.file if entry.loaded is not None else ""))
    result = Diagnostics()
    for each in check_together([*others, loaded], named=call.app.project.triggers)[0].items:
        if each.place.file == loaded.file or (each.code == "recursion" and own.workflow in each.found.split(" → ")):
            result.add(each)
    return result


async def delete_workflow(call: Call) -> Answer:
    """Take one out of force; its open runs end normally."""
    await call.app.workflows_api.delete(_known(call))
    return Answer(status=204)


async def enable_workflow(call: Call) -> dict[str, Any]:
    """Let its events start runs again."""
    name = _known(call)
    await call.app.workflows_api.enable(name)
    return {"name": name, "enabled": True}


async def disable_workflow(call: Call) -> dict[str, Any]:
    """Let its events start nothing."""
    name = _known(call)
    await call.app.workflows_api.disable(name)
    return {"name": name, "enabled": False}


def _known(call: Call) -> str:
    """The name of a workflow in force. Raises StepError `unknown_workflow`."""
    name = call.params["name"]
    if "@" in name:
        raise ConfigError(f"`{name}` names a version; this goes for the whole workflow", hint="leave the @ out")
    return call.app.engine.workflows.find(name).definition.workflow


ENDPOINTS = (
    Endpoint(
        "GET",
        "/workflows",
        "read",
        list_workflows,
        "List workflows, by name",
        (Param("tag", "only those with all these tags", "texts"), *PAGE),
        shape="WorkflowPage",
    ),
    Endpoint("GET", "/workflows/{name}", "read", show_workflow, "Show a workflow, or name@range of it"),
    Endpoint(
        "PUT",
        "/workflows/{name}",
        "deploy",
        put_workflow,
        "Check a definition (YAML or JSON text) and put it in force",
        (Param("dry_run", "only check it", "bool"),),
        text=True,
        shape="Deployed",
    ),
    Endpoint("DELETE", "/workflows/{name}", "deploy", delete_workflow, "Take a workflow out of force", status=204),
    Endpoint("POST", "/workflows/{name}/enable", "operate", enable_workflow, "Let its events start runs again"),
    Endpoint("POST", "/workflows/{name}/disable", "operate", disable_workflow, "Let its events start nothing"),
)
