"""list, show, enable, disable, delete, import, export."""

from __future__ import annotations

from typing import Any

import msgspec

from ..core.errors import ConfigError
from ..language.definition import WorkflowDefinition
from ..language.export import dump_yaml, to_mapping
from ..language.values import is_mapping
from . import output
from .client import Client
from .failures import Usage
from .parsing import Given
from .values import read


async def everything(client: Client, *path: str, **query: Any) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await client.get(*path, cursor=cursor, **query)
        found += page["items"]
        cursor = page.get("next") or ""
        if not cursor:
            return found


async def list_(given: Given, client: Client) -> None:
    """All workflows, by name."""
    items = await everything(client, "workflows", tag=given.many("tag"))
    if given.output != "table":
        output.dump(items, given.output)
    elif items:
        output.table(
            ("name", "version", "triggers", "state", "last run"),
            [
                (
                    line["name"],
                    line["version"],
                    "; ".join(line["triggers"]),
                    "enabled" if line["enabled"] else "disabled",
                    f"{line['last_run']['state']} {output.moment(line['last_run']['at'])}"
                    if line.get("last_run")
                    else None,
                )
                for line in items
            ],
        )
    elif tags := given.many("tag"):
        named = " and ".join(f"`{tag}`" for tag in tags)
        output.note(f"there are no workflows with the tag{'s' if len(tags) > 1 else ''} {named}")
    else:
        output.note("there are no workflows; `reactor new workflow NAME` writes one")


async def show(given: Given, client: Client) -> None:
    """One workflow."""
    found = await client.get("workflows", given.word("name"))
    if given.flag("versions"):
        found = {"name": found["name"], "current": found["version"], "versions": found["versions"]}
    elif given.flag("plan"):
        found = {"name": found["name"], "parallel_limit": found["parallel_limit"], "levels": found["plan"]}
    if given.output != "table":
        output.dump(found, given.output)
    elif given.flag("versions"):
        for version in found["versions"]:
            print(version + (" (in force)" if version == found["current"] else ""))
    elif given.flag("plan"):
        for number, level in enumerate(found["levels"], 1):
            print(f"{number}. {', '.join(level)}")
    else:
        _page(found)


def _page(found: dict[str, Any]) -> None:
    inputs: dict[str, Any] = found["inputs"].get("properties", {}) if found["inputs"] else {}
    output.pairs(
        {
            "workflow": f"{found['name']} {found['version']}",
            "description": found["description"],
            "state": "enabled" if found["enabled"] else "disabled",
            "tags": found["tags"],
            "triggers": "; ".join(found["triggers"]),
            "inputs": ", ".join(f"{name}: {_type(schema)}" for name, schema in inputs.items()),
            "versions": found["versions"],
        }
    )
    print()
    rows = [(step["name"], step["uses"], step["needs"], step["compensate"]) for step in found["steps"]]
    output.table(("step", "uses", "needs", "compensate"), rows)
    if found["last_runs"]:
        print()
        output.table(
            ("last runs", "state", "created"),
            [(r["id"], r["state"], output.moment(r["created_at"])) for r in found["last_runs"]],
        )


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "any")
    return f"{kind} = {output.cell(schema['default'])}" if "default" in schema else str(kind)


async def enable(given: Given, client: Client) -> None:
    """Its events start runs again."""
    found = await client.post("workflows", given.word("name"), "enable")
    output.done(found, given.output, f"{found['name']} is enabled")


async def disable(given: Given, client: Client) -> None:
    """Its events start nothing."""
    found = await client.post("workflows", given.word("name"), "disable")
    told = f"{found['name']} is disabled: its events start nothing; `reactor enable` undoes it"
    output.done(found, given.output, told)


async def delete(given: Given, client: Client) -> None:
    """Out of force."""
    name = given.word("name")
    await client.delete("workflows", name)
    told = f"{name} is deleted: it starts nothing; its open runs end normally"
    output.done({"name": name, "deleted": True}, given.output, told)


async def import_(given: Given, client: Client) -> None:
    """All that the files define, or nothing: each is checked before the first is put in force."""
    from ..language.documents import load_documents

    wanted: dict[str, tuple[str, bytes]] = {}
    for file in given.words("files"):
        for document in load_documents(read(file), file):
            name = document.value.get("workflow") if is_mapping(document.value) else None
            if not isinstance(name, str):
                raise Usage(f"{document.place()}: a document without `workflow` is no workflow", hint="give it a name")
            if name in wanted:
                raise Usage(f"{file} and {wanted[name][0]} both define `{name}`", hint="keep one of them")
            wanted[name] = (file, dump_yaml(document.value).encode())
    taken = {line["name"] for line in await everything(client, "workflows")} & set(wanted)
    if taken and not given.flag("replace"):
        names = ", ".join(f"`{name}`" for name in sorted(taken))
        raise ConfigError(f"there is already {names}; nothing was imported", hint="replace it with --replace")
    for name, (_, text) in wanted.items():
        await client.put("workflows", name, text=text, dry_run=True)
    made: list[dict[str, Any]] = []
    for name, (file, text) in wanted.items():
        found = await client.put("workflows", name, text=text)
        made.append({**{key: found[key] for key in ("name", "version")}, "file": file, "changed": found["changed"]})
        if given.output == "table":
            print(f"{found['name']} {found['version']} from {file}" + ("" if found["changed"] else " (as it was)"))
    if given.output != "table":
        output.dump(made, given.output)


async def export(given: Given, client: Client) -> None:
    """As a file."""
    found = await client.get("workflows", given.word("name"))
    definition = msgspec.convert(found["definition"], WorkflowDefinition)
    form = given.text("format") or ("json" if given.output == "json" else "yaml")
    output.dump(to_mapping(definition), form)
