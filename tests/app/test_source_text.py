"""Where a schema says text, a number counts as it is written; one that an expression gives, as its JSON text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reactor import App

FLOW = """
workflow: texts
inputs: {n: {type: integer, default: 5}}
when: [{file: {path: 2024, glob: 1.10}}, {event: 7}]
steps:
  - command: {argv: [printf, "%s|", 1.10, 0x1F, true, "${{ inputs.n }}"], env: {V: 1.50}}
  - log: {message: 1.10}
  - log: {message: "${{ inputs.n * 1.5 }}"}
  - log: {message: "${{ inputs.n > 1 }}"}
  - file: {op: write, path: 2024.5, text: 2.50, overwrite: true}
outputs: {printed: "${{ steps.step1.output.stdout }}"}
"""


async def opened(folder: Path, text: str) -> Any:
    (folder / "workflows").mkdir()
    (folder / "workflows" / "flow.yaml").write_text(text)
    (folder / "reactor.yaml").write_text(
        "store: ':memory:'\n"
        "connections: {in: {sqlite: {path: 12.0}}, k: {kafka: {servers: ['h:1'], client_id: 1.20}}}\n"
    )
    return App(project=folder, listen=False)


async def test_numbers_are_texts_as_they_are_written(tmp_path: Path) -> None:
    async with await opened(tmp_path, FLOW) as app:
        (definition,) = (await app.load()).definitions
        kafka, sqlite = app.project.connections["k"], app.project.connections["in"]
        assert (kafka.config["client_id"], sqlite.config["path"]) == ("1.20", "12.0")
        spec = definition.when[0].spec
        assert spec is not None
        assert (spec.config["path"], spec.config["glob"]) == ("2024", "1.10")
        run = await app.start("texts")
        assert await run.result(timeout=20) == {"printed": "1.10|0x1F|true|5|"}
        assert [line["message"] for line in await app.runs_api.logs(run.id)] == ["1.10", "7.5", "true"]
        assert (tmp_path / "2024.5").read_text() == "2.50"


async def test_what_is_no_scalar_is_no_text(tmp_path: Path) -> None:
    flow = "workflow: x\nsteps:\n  - log: {message: [1]}\n  - log: {message: null}\n  - command: {argv: [a, {b: 1}]}\n"
    async with await opened(tmp_path, flow) as app:
        errors = (await app.load()).diagnostics.errors
        assert [error.message for error in errors] == [
            "`message`: expected text; found [1]",
            "`message`: expected text; found null",
            '`1`: expected text; found {"b":1}',
        ]
