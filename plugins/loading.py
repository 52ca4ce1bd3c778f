"""Importing what a plugin supplies, in a thread of its own: a module that raises or hangs is named, and harms nobody
else.

What a thread cannot contain, a module that ends the process or never gives the interpreter's lock back, is found by a
trial in another process before (see trial.py).
"""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from pydantic import BaseModel

from ..core.errors import ConfigError, ReactorError, TransientError
from ..core.limits import IMPORT_S_MAX, TRIAL_S_MAX
from ..triggers.contract import Traits
from .found import Found
from .trial import trial


class Slow(TransientError):
    """A plugin's import has not ended; it may yet."""

    code = "plugin_slow"


class Loader:
    """One thing that a plugin supplies, imported when it is first asked for.

    The first caller waits IMPORT_S_MAX, for trial and import; until both end all others are refused at once, so that a
    module that hangs stops the event loop for that long, once.
    """

    def __init__(self, found: Found, *, limit_s: float = IMPORT_S_MAX, trial_s: float = TRIAL_S_MAX) -> None:
        self.found = found
        self._limit_s = limit_s
        self._trial_s = trial_s
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._made: Any = None
        self._error: ReactorError | None = None

    def __call__(self) -> Any:
        """The class (of a trigger), or one instance (of an action).

        Raises ConfigError: it cannot be imported, or is not what it should be; Slow: the import has not ended.
        """
        thread = self.start()
        if thread.is_alive():
            raise Slow(
                f"{self.whose} is still being imported: {self._module} takes over {self._limit_s:g} s",
                hint="see what it does when it is imported: it must not wait for anything there",
            )
        if self._error is not None:
            raise self._error.with_traceback(None)  # or each call would make it longer
        return self._made

    def start(self) -> threading.Thread:
        """Begin the import, if nobody has, and give it its time; the thread, which may be at work still."""
        with self._lock:
            if self._thread is None:
                name = f"import {self.found.target}"
                self._thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._thread.start()
                self._thread.join(self._limit_s)
            return self._thread

    @property
    def whose(self) -> str:
        """The plugin and what it supplies, in words: how every message of it begins."""
        thing = "the trigger kind" if self.found.what == "trigger" else "the action"
        return f"{thing} {self.found.name} of plugin {self.found.plugin} {self.found.version}"

    def status(self) -> Found:
        """What was found, as it is now."""
        if self._thread is None:  # of what cannot be used the problem is known
            return self.found
        try:
            self()
        except Slow as slow:
            return replace(self.found, state="importing", problem=str(slow), hint=slow.hint)
        except ReactorError as error:
            return replace(self.found, state="failed", problem=str(error), hint=error.hint)
        return replace(self.found, state="loaded")

    @property
    def _module(self) -> str:
        return self.found.target.partition(":")[0]

    def _work(self) -> None:
        check: Callable[[Any], Any] = self._trigger if self.found.what == "trigger" else self._action
        try:
            self._made = check(self._imported())
        except ReactorError as error:
            self._error = error
        except BaseException as error:  # noqa: BLE001  # whatever foreign code raises, SystemExit too, is its own failure
            self._error = self._refusal(f"cannot be imported from {self._module}: {type(error).__name__}: {error}")

    def _imported(self) -> Any:
        if self._module not in sys.modules:
            made = self.found.what == "action"
            if problem := trial(self.found.target, made=made, limit_s=self._trial_s):
                raise self._refusal(f"cannot be imported from {self._module}: {problem}")
        attribute = self.found.target.partition(":")[2]
        found = getattr(importlib.import_module(self._module), attribute, None)
        if found is None:
            raise self._refusal(f"cannot be used: there is no {attribute} in {self._module}")
        return found

    def _trigger(self, made: Any) -> Any:
        """A class that is a trigger, as far as one can see without making one."""
        config = getattr(made, "Config", None)
        if not (isinstance(config, type) and issubclass(config, BaseModel)):
            raise self._refusal(f"cannot be used: {self.found.target} has no `Config`, a TriggerConfig")
        if not isinstance(getattr(made, "traits", None), Traits):
            raise self._refusal(f"cannot be used: {self.found.target} has no `traits`, a Traits")
        for verb in ("connect", "read", "close"):
            if not callable(getattr(made, verb, None)):
                raise self._refusal(f"cannot be used: {self.found.target} has no `{verb}`")
            if _wants_more(getattr(made, verb)):
                raise self._refusal(f"cannot be used: `{verb}` of {self.found.target} must take no arguments")
        return made

    def _action(self, made: Any) -> Any:
        """One instance, with the members that the engine reads."""
        action = made()
        if not callable(getattr(action, "execute", None)):
            raise self._refusal(f"cannot be used: {self.found.target} has no `execute`")
        for member in ("Input", "pure", "timeout_s", "check"):
            if not hasattr(action, member):
                raise self._refusal(f"cannot be used: {self.found.target} has no `{member}`; descend from ActionBase")
        return action

    def _refusal(self, text: str) -> ConfigError:
        return ConfigError(f"{self.whose} {text}", hint=f"correct or uninstall {self.found.plugin}")


def _wants_more(verb: Callable[..., Any]) -> bool:
    """Does a method that is looked at on its class need more than its instance?"""
    try:
        parameters = list(inspect.signature(verb).parameters.values())
    except (TypeError, ValueError):  # it has none that could be seen
        return False
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(each.default is each.empty and each.kind not in optional for each in parameters) > 1
