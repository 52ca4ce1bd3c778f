"""Tokens: who may do what from elsewhere. Kept as hashes in `.reactor/tokens.json`; more may come by REACTOR_TOKENS.

A token has a name, roles (for approvals) and scopes. Its text is shown once, when it is made. Source: the language
page, section 7, "Who may".
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct

from ..core.clock import SYSTEM
from ..core.durations import format_instant
from ..core.errors import ConfigError
from ..core.ids import fresh_id

Scope = Literal["read", "emit", "operate", "deploy"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
VARIABLE = "REACTOR_TOKENS"
FILE = ".reactor/tokens.json"


class Token(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One token: `hash` is the SHA-256 of its text in hex; `token`, the text itself, is for the environment alone."""

    name: str
    scopes: tuple[Scope, ...] = ("read",)
    roles: tuple[str, ...] = ()
    hash: str = ""
    token: str = ""
    created_at: str = ""


_tokens = msgspec.json.Decoder(list[Token]).decode


class Tokens:
    """The tokens of a project. The file is looked at again when it has changed."""

    def __init__(self, fixed: Sequence[Token] = (), file: Path | None = None) -> None:
        self._fixed = tuple(_hashed(token) for token in fixed)
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._stored: tuple[Token, ...] = ()
        self._read()

    @classmethod
    def of(cls, root: str | Path, environ: Mapping[str, str] | None = None) -> Tokens:
        """Those of a project's folder and of the environment. Raises ConfigError if they cannot be read."""
        environ = os.environ if environ is None else environ
        text, where = environ.get(VARIABLE, ""), VARIABLE
        if not text and (path := environ.get(f"{VARIABLE}_FILE")):
            where = path
            try:
                text = Path(path).read_text()
            except OSError as e:
                raise ConfigError(f"{VARIABLE}_FILE names a file that cannot be read: {e}") from None
        return cls(_decoded(text.encode(), where) if text.strip() else (), Path(root) / FILE)

    @property
    def all(self) -> tuple[Token, ...]:
        """Every token, without its text."""
        self._read()
        return (*self._fixed, *self._stored)

    def find(self, text: str) -> Token | None:
        """The token of this text; every one is compared, each in constant time."""
        self._read()
        wanted, found = _hash(text), None
        for token in (*self._fixed, *self._stored):
            if hmac.compare_digest(token.hash, wanted):
                found = token
        return found

    def add(self, name: str, scopes: Iterable[str], roles: Iterable[str] = ()) -> str:
        """Make a token and store its hash; its text, which nobody can show again. Raises ConfigError."""
        wanted = tuple(dict.fromkeys(scopes))
        unknown = [s for s in wanted if s not in SCOPES]
        if unknown or not wanted:
            found = f"found `{unknown[0]}`" if unknown else "found none"
            raise ConfigError(f"a token's scopes are of {', '.join(SCOPES)}; {found}")
        if not name or any(token.name == name for token in self.all):
            raise ConfigError(
                f"there is a token `{name}` already" if name else "a token needs a name", hint="choose another name"
            )
        text = f"rct_{fresh_id()}{fresh_id()}"
        made = format_instant(float(int(SYSTEM.now())))
        token = Token(name, cast("tuple[Scope, ...]", wanted), tuple(roles), _hash(text), created_at=made)
        self._write((*self._stored, token))
        return text

    def remove(self, name: str) -> None:
        """Take a stored token back. Raises ConfigError for one that is not in the file."""
        kept = tuple(token for token in self.all[len(self._fixed) :] if token.name != name)
        if len(kept) == len(self._stored):
            there = ", ".join(token.name for token in self._stored) or "none"
            raise ConfigError(f"there is no stored token `{name}`; there are: {there}")
        self._write(kept)

    def _read(self) -> None:
        if self._file is None:
            return
        try:
            stat = self._file.stat()
        except OSError:
            self._seen, self._stored = None, ()
            return
        seen = (stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._stored = tuple(_hashed(t) for t in _decoded(self._file.read_bytes(), str(self._file)))
            self._seen = seen

    def _write(self, tokens: Sequence[Token]) -> None:
        if self._file is None:
            raise ConfigError("these tokens have no file to be stored in")
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(list(tokens)), indent=2))
        fresh.replace(self._file)
        self._seen = None
        self._read()


def _decoded(text: bytes, where: str) -> list[Token]:
    try:
        found = _tokens(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise ConfigError(
            f"the tokens in {where} cannot be read: {e}",
            hint='write a JSON list such as [{"name": "ci", "token": "…", "scopes": ["emit"]}]',
        ) from None
    for token in found:
        if not token.hash and len(token.token) < 16:
            raise ConfigError(
                f"the token `{token.name}` in {where} has fewer than 16 characters",
                hint="`reactor token create NAME` makes a good one",
            )
    return found


def _hashed(token: Token) -> Token:
    return token if token.hash else Token(token.name, token.scopes, token.roles, _hash(token.token))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
