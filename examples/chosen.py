"""A workflow that is built for what somebody asked for: python examples/chosen.py FILE..."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactor import App, WorkflowBuilder

sys.path.append(str(Path(__file__).parent))
from analysis import enhance, parse, report, security, semantic  # beside this file


@dataclass(frozen=True)
class Wanted:
    """What was asked for."""

    semantic_analysis: bool = False
    security_scan: bool = False
    llm_enhancement: bool = False


def build(wanted: Wanted) -> Any:
    """Parse and report always; between them the steps that were asked for."""
    builder = WorkflowBuilder("dynamic", description="Steps chosen by what was asked for", inputs={"files": "array"})
    seen: list[str] = []

    def add(name: str, function: Callable[..., Any], output: str, **keys: Any) -> None:
        builder.step(name, function, output={"type": "object", "required": [output]}, timeout=30, **keys)
        seen.append(name)

    def everything() -> dict[str, Any]:
        return {"args": {"all_results": {name: f"${{{{ steps.{name}.output }}}}" for name in seen}}}

    add("parse", parse, "ast")
    if wanted.semantic_analysis:
        add("semantic", semantic, "semantic_results", needs=["parse"])
    if wanted.security_scan:
        add("security", security, "security_results", needs=["parse"])
    if wanted.llm_enhancement:
        add("llm_enhance", enhance, "enhanced_results", needs=list(seen), with_=everything())
    add("report", report, "report", needs="all", with_=everything())
    return builder.build()


async def main(files: list[str]) -> None:
    """Run it with everything."""
    app = App()
    workflow = app.register(build(Wanted(semantic_analysis=True, security_scan=True, llm_enhancement=True)))
    async with app:
        print(await (await app.start(workflow, files=files)).result(timeout=60))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:] or [__file__]))
