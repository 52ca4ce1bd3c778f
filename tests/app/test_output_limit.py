"""`server.limits.output` bounds what a step may give, and what a query reads."""

from pathlib import Path

import pytest

from reactor import App

FLOW = """
workflow: much
steps: [{name: give, transform: 1}, STEP]
"""


async def ended(folder: Path, step: str, limit: str) -> tuple[str, str, str, str]:
    (folder / "workflows").mkdir()
    (folder / "workflows" / "much.yaml").write_text(FLOW.replace("STEP", step))
    server = f"server: {{limits: {{output: {limit}}}}}\nconnections: {{db: {{sqlite: {{path: data.db}}}}}}"
    (folder / "reactor.yaml").write_text(f"store: sqlite:///{folder}/r.db\n{server}\n")
    (folder / "much_text.py").write_text("def make():\n    return 'x' * 3000\n")
    async with App(project=folder) as app:
        await app.load()
        run = await app.start("much")
        outcome = await app.runs_api.outcome(run.id)
        error = outcome.error
        return (outcome.state, error.code, error.message, error.hint) if error else (outcome.state, "", "", "")


MAKE = "{name: make, python: {function: 'much_text:make'}}"
QUERY = "{name: read, sql: {query: 'SELECT hex(zeroblob(1500))'}}"


@pytest.mark.parametrize(
    ("step", "wrong"),
    [
        (
            MAKE,
            (
                "the output of `make` has 3002 bytes; at most 2048 are kept",
                "give less, keep it in a file and give its path, or raise `server.limits.output`",
            ),
        ),
        (
            QUERY,
            (
                "the query gives more than 2KiB",
                "select fewer rows or columns, or a part of each value: substr(…)",
            ),
        ),
    ],
    ids=["python", "sql"],
)
async def test_more_than_the_limit_is_a_failure_that_says_so(tmp_path: Path, step: str, wrong: tuple[str, str]) -> None:
    assert await ended(tmp_path, step, "2KiB") == ("failed", "too_large", *wrong)


@pytest.mark.parametrize("step", [MAKE, QUERY], ids=["python", "sql"])
async def test_as_much_as_the_limit_is_kept(tmp_path: Path, step: str) -> None:
    assert await ended(tmp_path, step, "8KiB") == ("completed", "", "", "")
