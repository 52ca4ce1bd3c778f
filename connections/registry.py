"""The connections of one project: each made at first use, shared by all who name it, closed once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..core.errors import StepError
from ..language.diagnostics import did_you_mean
from .catalogue import kinds_of, make
from .contract import Connection

_log = logging.getLogger("reactor.connections")


def _as_is(value: Any) -> Any:
    return value


class Registry:
    """Named connections, as `connections:` of the project declares them: `{name: {kind: keys}}`.

    `render` replaces `${{ secrets.… }}` and `${{ env.… }}` in the keys when a connection is made, and not before:
    secrets are resolved at the call. Its errors pass through.
    """

    def __init__(
        self,
        declared: Mapping[str, Mapping[str, Any]],
        *,
        project: str = ".",
        render: Callable[[Any], Any] = _as_is,
    ) -> None:
        self._declared: dict[str, tuple[str, Any]] = {}
        for name, entry in declared.items():
            kind, keys = next(iter(entry.items()))
            self._declared[name] = (kind, keys)
        self._project = project
        self._render = render
        self._made: dict[str, Connection] = {}

    def names(self, kind: str = "") -> list[str]:
        """The declared names, of one kind or family alone if given."""
        wanted = kinds_of(kind)
        return [name for name, (found, _) in self._declared.items() if not kind or found in wanted]

    def kind(self, name: str) -> str:
        """The kind of a declared connection; raises StepError `missing_connection`."""
        if name not in self._declared:
            raise self._missing("", name)
        return self._declared[name][0]

    def get(self, kind: str, name: str | None = None) -> Connection:
        """The named connection of this kind or family (`sql`, `jetstream`), or the only one there is; it opens itself.

        Raises StepError: `missing_connection`, `missing_extra`, `unavailable`, `config`, `missing_secret`.
        """
        if name is None:
            names = self.names(kind)
            if len(names) != 1:
                raise self._unclear(kind, names)
            name = names[0]
        made = self._made.get(name)
        if made is None:
            if name not in self._declared:
                raise self._missing(kind, name)
            found, keys = self._declared[name]
            self._check_kind(kind, name, found)
            made = self._made[name] = make(found, name, self._render({} if keys is None else keys), self._project)
        else:
            self._check_kind(kind, name, self._declared[name][0])
        return made

    def _check_kind(self, wanted: str, name: str, found: str) -> None:
        if found not in kinds_of(wanted):
            fitting = self.names(wanted)
            raise StepError(
                "missing_connection",
                f"connection `{name}` is of kind `{found}`; here one of kind `{wanted}` is needed",
                hint=f"declared ones that fit: {', '.join(fitting)}" if fitting else _declare(wanted),
            )

    def _missing(self, kind: str, name: str) -> StepError:
        names = self.names(kind) if kind else self.names()
        hint = did_you_mean(name, names) if names else _declare(kind or "KIND")
        return StepError("missing_connection", f"no connection is called `{name}`", hint=hint)

    def _unclear(self, kind: str, names: list[str]) -> StepError:
        if not names:
            return StepError("missing_connection", f"no connection of kind `{kind}` is declared", hint=_declare(kind))
        return StepError(
            "missing_connection",
            f"{len(names)} connections of kind `{kind}` are declared: name one",
            hint=f"write `connection: {names[0]}`; one of: {', '.join(names)}",
        )

    async def close(self) -> None:
        """Close all that were made, at once; what fails is logged, the rest is closed all the same. Safe twice."""
        made, self._made = self._made, {}
        results = await asyncio.gather(*(connection.close() for connection in made.values()), return_exceptions=True)
        for name, result in zip(made, results, strict=True):
            if isinstance(result, BaseException):
                _log.warning("connection `%s` did not close: %s", name, result)

    async def test(self, name: str) -> str:
        """What the other side of a declared connection answers, in words; raises what the connection raises."""
        return await self.get(self.kind(name), name).test()


def _declare(kind: str) -> str:
    kind = kinds_of(kind)[0]
    return f"declare it in reactor.yaml: connections: {{main: {{{kind}: {{…}}}}}}"
