"""The kinds of trigger: by name, their module, imported when a config names them, and what is wrong with a config.

A plugin's kind comes in a mapping handed in: a reference `package.module:Class`, or what gives the class when asked.
Source: triggers.md sections 1, 3.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, ValidationError

from ..connections.fields import error_faults, renamed_in
from ..core.errors import ConfigError, ReactorError
from ..language.annotations import signature_of
from ..language.built_in import BUILT_IN as WORDS
from ..language.catalogue import Fault
from ..language.diagnostics import Path, did_you_mean
from ..language.renamed import Renamed
from .contract import TriggerConfig


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a kind's class is, before its module is imported; its words are the language's (`language/built_in.py`).

    `short`: the key that a scalar stands for. `connection`: the kind of connection that it uses; empty: none. `reads`:
    has a reader, or is a binding of the router alone. `supply` gives a plugin's class in place of `target`; it raises
    ConfigError, or TransientError while it is not there yet.
    """

    name: str
    target: str = ""
    short: str = ""
    connection: str = ""
    reads: bool = True
    plugin: bool = False
    supply: Callable[[], Any] | None = None


_TARGETS = {
    "http": ".http:HttpTrigger",
    "file": ".file:FileTrigger",
    "cron": ".schedule:CronTrigger",
    "every": ".schedule:EveryTrigger",
    "at": ".schedule:AtTrigger",
    "kafka": ".kafka:KafkaTrigger",
    "jetstream": ".jetstream:JetStreamTrigger",
}

BUILT_IN: Mapping[str, Kind] = {
    "event": Kind("event", short="type", reads=False),
    "workflow": Kind("workflow", short="workflow", reads=False),
    **{
        name: Kind(name, _TARGETS[name], words.short, words.connections[0] if words.connections else "")
        for name, words in WORDS.kinds.items()
    },
}

UNAVAILABLE = WORDS.missing.get("kind", {})
"""Kinds of the language that this version does not carry out yet → what there is in their place."""


_End = Literal["completed", "failed", "timed_out", "cancelled", "compensated", "compensation_failed"]


class EventConfig(TriggerConfig):
    """`event`: what came by `POST /events`, `reactor emit`, `emit`, or any trigger."""

    type: str = Field(min_length=1, examples=["com.shop.order.*"])
    source: str | None = None
    subject: str | None = None


class WorkflowConfig(TriggerConfig):
    """`workflow`: runs of a workflow that ended. `workflow` is a name, a glob or `name@^1`."""

    workflow: str = Field(min_length=1, examples=["ship-order"])
    state: list[_End] | _End = Field(default_factory=lambda: ["completed"])


_BINDINGS: Mapping[str, type[BaseModel]] = {"event": EventConfig, "workflow": WorkflowConfig}


class Kinds:
    """The kinds of one deployment: the built-in ones, and those of plugins by name (see the module's first lines)."""

    def __init__(self, plugins: Mapping[str, str | Callable[[], Any]] | None = None) -> None:
        self._kinds: dict[str, Kind] = {
            name: Kind(name, each, plugin=True) if isinstance(each, str) else Kind(name, plugin=True, supply=each)
            for name, each in (plugins or {}).items()
        }
        self._kinds.update(BUILT_IN)

    @property
    def all(self) -> Mapping[str, Kind]:
        """Every kind that can be declared, by name."""
        return self._kinds

    def reads(self, kind: str) -> bool:
        """Has this kind a reader of its own? Unknown ones count: their fault shows when they start."""
        known = self._kinds.get(kind)
        return known is None or known.reads

    def load(self, kind: str) -> tuple[Kind, Any]:
        """A kind and its trigger class, imported now.

        Raises ConfigError: unknown, `unavailable`, or it cannot be imported (the plugin is named); TransientError: a
        plugin is still being imported.
        """
        known = self._known(kind)
        if known.supply is not None:
            return known, known.supply()
        module, _, attribute = known.target.partition(":")
        try:
            found = getattr(importlib.import_module(module, __package__), attribute, None)
        except ImportError as error:
            raise ConfigError(
                f"the trigger kind {kind} cannot be imported from {module.lstrip('.')}: {error}",
                hint="install what is missing, or remove the plugin" if known.plugin else "install the extra it needs",
            ) from error
        if found is None:
            raise ConfigError(
                f"the trigger kind {kind} is registered as {known.target}, but there is no {attribute} in {module}",
                hint="correct the entry point of the plugin",
            )
        return known, found

    def model(self, kind: str) -> type[BaseModel]:
        """The pydantic model of a kind's own keys. Raises ConfigError as `load`."""
        known = self._known(kind)
        return cast("type[BaseModel]", _BINDINGS[kind] if not known.reads else self.load(kind)[1].Config)

    def schema(self, kind: str) -> dict[str, Any] | None:
        """JSON Schema of a kind's own keys; None for a plugin's that cannot be loaded now. Raises ConfigError as
        `load`.
        """
        try:
            return self.model(kind).model_json_schema(by_alias=True)
        except ReactorError:
            if self._known(kind).supply is None:
                raise
            return None

    def spelt_out(self, kind: str, config: Any) -> Any:
        """The short form `every: 15s` as the mapping that it stands for."""
        known = self._kinds.get(kind)
        scalar = isinstance(config, (str, int, float)) and not isinstance(config, bool)
        return {known.short: config} if known is not None and known.short and scalar else config

    def config(self, kind: str, config: Any) -> BaseModel:
        """The checked config. Raises ConfigError with every fault."""
        model = self.model(kind)
        try:
            return model.model_validate(self.spelt_out(kind, config))
        except ValidationError as error:
            faults = self._faults(kind, model, error, config)
            text = "; ".join(
                (f"{f.path}: " if f.path else "") + f.message + (f" ({f.hint})" if f.hint else "") for f in faults
            )
            raise ConfigError(f"{kind}: {text}", path=str(faults[0].path or ""), hint=faults[0].hint) from None

    def faults(self, kind: str, config: Any) -> list[Fault]:
        """What is wrong with a config: (path, message, hint), in our own words. Empty if nothing is.

        Nor is there a fault while the plugin of a kind cannot be used: the definition is right, and its trigger says
        what is wrong with the plugin, until that is repaired.
        """
        try:
            model = self.model(kind)
        except ReactorError as error:
            supplied = kind in self._kinds and self._kinds[kind].supply is not None
            return [] if supplied else [Fault((), str(error), error.hint, error.code)]
        value = self.spelt_out(kind, config)
        try:
            model.model_validate(value)
        except ValidationError as error:
            return self._faults(kind, model, error, value)
        return []

    def renamed(self, kind: str, config: Any) -> Iterable[tuple[Path, Mapping[str, Renamed]]]:
        """The mappings in a config that have old names of keys; none while the plugin of a kind cannot be used."""
        try:
            return renamed_in(self.model(kind), config)
        except ReactorError:
            return ()

    def _faults(self, kind: str, model: type[BaseModel], error: ValidationError, value: Any) -> list[Fault]:
        if not isinstance(value, Mapping):
            short = self._kinds[kind].short
            hint = f"write {kind}: {{{short}: …}}" if short else "write its keys as a mapping"
            return [Fault((), f"`{kind}` needs a mapping of its keys", hint)]
        found: list[Fault] = []
        for path, message in error_faults(model, error, cast("Mapping[str, Any]", value)):
            said, _, hint = message.partition("; did you mean ")
            found.append(Fault(path, said, f"did you mean {hint}" if hint else ""))
        return found

    def _known(self, kind: str) -> Kind:
        known = self._kinds.get(kind)
        if known is not None:
            return known
        if kind in UNAVAILABLE:
            raise ConfigError(
                f"the trigger kind {kind} is not available in this version",
                hint=UNAVAILABLE[kind],
                code="unavailable",
            )
        raise ConfigError(f"there is no trigger kind {kind}", hint=did_you_mean(kind, (*self._kinds, *UNAVAILABLE)))


@functools.lru_cache(maxsize=256)
def takes_context(make: Any) -> bool:
    """Does this trigger's constructor name a second parameter?"""
    return len(signature_of(make).parameters) > 1
