"""`run.temp_dir` and `run.url`: names that an expression may read, with values that outlive a crash."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from reactor import App
from reactor.core.errors import ConfigError
from reactor.engine import temp_dirs
from reactor.tests.waiting import until

FLOW = """
workflow: kept
when: [{event: begin}]
steps:
  - file: {op: write, path: "${{ run.temp_dir }}/note", text: kept}
  - wait: {event: {type: go}}
  - name: read
    file: {op: read, path: "${{ run.temp_dir }}/note", as: text}
  - name: told
    transform: {url: "${{ run.url }}", folder: "${{ run.temp_dir }}"}
outputs: {text: "${{ steps.read.output.content }}", told: "${{ steps.told.output }}"}
"""


def project(folder: Path, text: str = FLOW, more: str = "") -> App:
    (folder / "workflows").mkdir(exist_ok=True)
    (folder / "workflows" / "flow.yaml").write_text(text)
    (folder / "reactor.yaml").write_text(f"store: sqlite:///{folder}/r.db\n{more}")
    return App(project=folder)


async def parked(app: App, run: str) -> bool:
    view = await app.get(run)
    return bool(view["state"] == "waiting")


@pytest.mark.parametrize(
    ("more", "base"),
    [
        ("", "http://127.0.0.1:8484"),
        ("server: {port: 99, base_path: /r}", "http://127.0.0.1:99/r"),
        ("server: {url: 'https://x.test/'}", "https://x.test"),
    ],
)
async def test_a_runs_folder_outlives_a_restart_and_goes_with_the_run(tmp_path: Path, more: str, base: str) -> None:
    async with project(tmp_path, more=more) as app:
        await app.load()
        (run,) = (await app.emit("begin")).runs
        await until(lambda: parked(app, run))
        folder = temp_dirs.path_of(run)
        assert Path(folder, "note").read_text() == "kept"
        assert os.stat(folder).st_mode & 0o777 == os.stat(os.path.dirname(folder)).st_mode & 0o777 == 0o700
    async with project(tmp_path, more=more) as app:
        await app.load()
        await app.emit("go")
        outputs = (await app.runs_api.outcome(run)).outputs
        assert outputs == {"text": "kept", "told": {"url": f"{base}/api/v1/runs/{run}", "folder": folder}}
        await until(lambda: not os.path.exists(folder))


async def test_a_python_step_has_its_folder(tmp_path: Path) -> None:
    from reactor import WorkflowBuilder

    def write(context: Any) -> str:
        Path(context.run["temp_dir"], "x").write_text("1")
        return str(context.run["temp_dir"])

    app = App()
    app.register(WorkflowBuilder("w").step("write", write).build())
    async with app:
        outputs = await (await app.start("w")).result(timeout=20)
    assert not os.path.exists(outputs["write"])


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    base = tmp_path / f"reactor-{os.getuid()}"
    base.mkdir(mode=0o755)
    with pytest.raises(ConfigError) as caught:
        temp_dirs.made("r-1-1")
    assert str(caught.value) == (
        f"{base}, which holds the temporary folders of runs, is open to others or belongs to somebody else"
    )
    base.rmdir()
    base.write_text("")
    with pytest.raises(ConfigError) as caught:
        temp_dirs.made("r-1-1")
    assert str(caught.value) == f"the temporary folder {base}/r-1-1 cannot be made: File exists"
