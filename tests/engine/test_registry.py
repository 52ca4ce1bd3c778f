"""The registry of workflows by itself: what is in force, by which name, and what a restart finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from reactor.core.errors import ConfigError, StepError
from reactor.engine.workflows import Workflows
from reactor.language.built_in import BUILT_IN
from reactor.language.definition import Loaded
from reactor.language.loader import load_text
from reactor.store import open_store
from reactor.testing.clock import VirtualClock


def written(*names: str, message: str = "hello") -> list[Loaded]:
    """Workflows by `name@version`."""
    texts = [
        f"workflow: {name}\nversion: {version}\ntrace: false\nsteps: [{{log: {{message: {message}}}}}]\n"
        for name, _, version in (each.partition("@") for each in names)
    ]
    return load_text("\n---\n".join(texts), "flows.yaml", BUILT_IN).loaded


async def test_a_registry(tmp_path: Path) -> None:
    clock = VirtualClock()
    store = open_store(f"sqlite:///{tmp_path}/r.db", clock=clock)
    await store.open()
    registry = Workflows(store, clock)
    await registry.open()
    assert registry.names() == []

    assert await registry.deploy(written("ship@1.2.0", "ship@1.10.0", "charge@0.1.0"), origin="files") == [
        "ship",
        "ship",
        "charge",
    ]
    assert await registry.deploy(written("ship@1.2.0"), origin="files") == [], "equal content is no change"
    assert registry.names() == ["charge", "ship"]
    assert registry.matching("sh*") == ["ship"]
    assert list(registry.versions("ship")) == ["1.2.0", "1.10.0"]
    assert registry.find("ship").definition.version == "1.10.0"
    assert registry.find("ship@~1.2").definition.version == "1.2.0"
    assert not registry.traced("ship", "1.2.0")
    assert list(registry.from_files()) == ["charge", "ship"]

    await registry.deploy(written("ship@1.2.0", message="anew"), origin="files")
    assert registry.find("ship@1.2.0").revision == 2
    await registry.change("ship", pinned="1.2.0")
    await registry.change("charge", enabled=False)
    assert registry.find("ship").definition.version == "1.2.0"
    assert [entry.definition.workflow for entry in registry.live()] == ["ship"]

    again = Workflows(store, clock)
    await again.open()
    assert again.names() == ["charge", "ship"]
    assert (again.find("ship").revision, again.enabled("charge")) == (2, False)
    plan = await again.stored_plan(registry.find("ship@1.10.0").digest)
    assert plan is not None
    assert plan.definition.version == "1.10.0"
    assert await again.stored_plan(b"none") is None

    await again.change("charge", removed=True)
    assert (again.names(), again.current("charge")) == (["ship"], None)
    with pytest.raises(StepError) as unknown:
        again.find("shp")
    assert (str(unknown.value), unknown.value.hint) == ("there is no workflow `shp`", "did you mean `ship`?")
    with pytest.raises(StepError) as version:
        again.find("ship@^2")
    assert str(version.value) == "workflow `ship` has no version `^2`; it has: 1.10.0, 1.2.0"
    with pytest.raises(ConfigError) as none:
        await again.change("nobody", enabled=True)
    assert (str(none.value), none.value.code) == ("there is no workflow `nobody`", "unknown_workflow")
    await store.close()
