"""Makes small plugins, as if they were installed: a folder with modules and their metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SOURCE = """
from reactor.triggers.contract import Delivery, EndOfEvents, Event, Traits, TriggerConfig

class Config(TriggerConfig):
    times: int = 1

class Ticker:
    Config = Config
    traits = Traits(acknowledges=False, stable_ids=False, ordered=True, replays=False, shared=False)

    def __init__(self, config):
        self.left = config.times

    async def connect(self): pass

    async def read(self):
        if not self.left:
            raise EndOfEvents("no more")
        self.left -= 1
        return Delivery((Event(type="lab.tick", source="/lab", data=self.left),))

    async def close(self): pass
"""
ACTION = """
from reactor.engine.actions.contract import ActionBase, ActionInput

class Input(ActionInput):
    text: str

class Shout(ActionBase):
    name = "shout"
    Input = Input

    async def execute(self, call):
        return call.inputs.text.upper()
"""


def install(
    folder: Path,
    name: str,
    points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
) -> Path:
    """A distribution with these entry points (group → name → target) and modules; the folder for `sys.path`."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {target}\n" for key, target in named.items())
        for group, named in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for module, text in (modules or {}).items():
        (folder / f"{module}.py").write_text(text)
    return folder
