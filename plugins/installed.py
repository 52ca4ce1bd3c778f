"""The plugins of one application: the kinds and actions they supply, each imported when a definition names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..language.built_in import BUILT_IN
from ..language.catalogue import Word
from .found import Found, discover
from .loading import Loader


class Plugins:
    """What is installed, as `Kinds(plugins=…)` and the actions' `Catalogue(plugins=…)` take it.

    `found` is what `discover` gives; by default of this interpreter's path, looked up once.
    """

    def __init__(self, found: Sequence[Found] | None = None) -> None:
        self._loaders = [Loader(each) for each in (discover() if found is None else found)]

    @property
    def kinds(self) -> Mapping[str, Callable[[], Any]]:
        """Trigger kinds by every name they have → what gives the class."""
        return self._by_word("trigger")

    @property
    def actions(self) -> Mapping[str, Callable[[], Any]]:
        """Actions by every name they have → what gives the instance."""
        return self._by_word("action")

    @property
    def missing(self) -> Mapping[Word, Mapping[str, str]]:
        """The words of the language that are not carried out yet, blocks of plugins among them: the loader refuses them
        as `unavailable`.
        """
        hint = "write the steps that it stands for"
        blocks = {loader.found.name: hint for loader in self._loaders if loader.found.what == "block"}
        return {**BUILT_IN.missing, "block": {**blocks, **BUILT_IN.missing["block"]}}

    def list(self, *, load: bool = False) -> list[Found]:
        """Everything that was found, as it is now; with `load` each is imported first, so that what is broken shows.

        Blocks up to IMPORT_S_MAX for each module that hangs.
        """
        if load:
            for loader in self._loaders:
                if loader.found.words:
                    loader.start()
        return [loader.status() for loader in self._loaders]

    def _by_word(self, what: str) -> dict[str, Callable[[], Any]]:
        return {word: each for each in self._loaders if each.found.what == what for word in each.found.words}


def list_plugins() -> list[Found]:
    """Every installed plugin's parts, each imported in a thread of its own: `reactor plugin list`."""
    return Plugins().list(load=True)
