"""Secrets: found by name in the environment and in files, resolved at the call, masked wherever they would be shown.

Source: the language page, section 1; the triggers page, sections 6 and 7; semantics 11.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from ..core.errors import ConfigError
from .cel import Activation
from .diagnostics import Diagnostics, did_you_mean
from .documents import load_document
from .scope import Name, Scope
from .templates import compile_value
from .values import is_mapping

SecretSource = tuple[Literal["env", "file"], str]
MASK = "***"
TEXT_CHARS_MIN = 4  # a shorter secret is hidden where it stands as a word: it may be part of any text
KEY_CHARS_MIN = 8  # a shorter one is not looked for in the keys of a mapping, which others read by name
_PREFIX = "REACTOR_SECRET_"
_CONFIG_SCOPE = Scope({"secrets": Name("object", whole=False), "env": Name("object"), "vars": Name("object")})


def variable_of(name: str) -> str:
    """The environment variable of a secret: `db-password` is REACTOR_SECRET_DB_PASSWORD."""
    return _PREFIX + re.sub(r"[^A-Za-z0-9_]", "_", name).upper()


class Secrets(Collection[str]):
    """The secrets of a project. A collection of their names; values by `get`, never in `repr`."""

    def __init__(
        self,
        sources: Sequence[SecretSource] = (("env", ""),),
        root: str | FilePath = ".",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._root = FilePath(root)
        self._environ: Mapping[str, str] = environ if environ is not None else {}
        self._files: dict[str, Mapping[str, str]] = {}
        self._shown: set[str] = set()  # every form of every value ever resolved
        self._pattern: re.Pattern[str] | None = None
        self._keys: re.Pattern[str] | None = None

    def __contains__(self, name: object) -> bool:
        """Is there a secret of this name?"""
        return isinstance(name, str) and any(self._has(source, name) for source in self._sources)

    def __iter__(self) -> Iterator[str]:
        """The known names; those of environment variables in lower case."""
        names: dict[str, None] = {}
        for kind, path in self._sources:
            if kind == "file":
                names.update(dict.fromkeys(self._file(path)))
            else:
                for variable in self._environ:
                    if variable.startswith(_PREFIX):
                        names[variable.removeprefix(_PREFIX).removesuffix("_FILE").lower()] = None
        return iter(names)

    def __len__(self) -> int:
        """How many names are known."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Where they come from, nothing else."""
        return f"Secrets({list(self._sources)!r})"

    def _has(self, source: SecretSource, name: str) -> bool:
        if source[0] == "file":
            return name in self._file(source[1])
        variable = variable_of(name)
        return variable in self._environ or f"{variable}_FILE" in self._environ

    def get(self, name: str) -> str:
        """The value. Raises ConfigError `missing_secret`, which says where it was looked for; masked from now on."""
        for kind, path in self._sources:
            value = self._from_environment(name) if kind == "env" else self._file(path).get(name)
            if value is not None:
                self._remember(value)
                return value
        looked = [variable_of(name) if kind == "env" else path for kind, path in self._sources]
        near = did_you_mean(name, self)
        raise ConfigError(
            f"there is no secret `{name}`; looked in {', '.join(looked)}",
            code="missing_secret",
            path=f"secrets.{name}",
            hint=near
            if near.startswith("did you mean")
            else f"set {looked[0]}"
            if looked
            else "name a source in `secrets.from`",
        )

    def _from_environment(self, name: str) -> str | None:
        variable = variable_of(name)
        value = self._environ.get(variable)
        if value is not None:
            return value
        file = self._environ.get(f"{variable}_FILE")
        if file is None:
            return None
        try:
            return FilePath(file).read_text().removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the secret `{name}` cannot be read from the file that {variable}_FILE names: {error}",
                code="missing_secret",
                path=f"secrets.{name}",
                hint="check that the file exists, and who may read it",
            ) from None

    def _file(self, path: str) -> Mapping[str, str]:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = read_secret_file(self._root / path)
        return known

    def _remember(self, value: str) -> None:
        """A value is hidden in each form that it may be shown in: as it is, line by line, in JSON and in URLs."""
        forms = {value, *value.splitlines(), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
        forms |= {quote(value), quote(value, safe="")}
        fresh = {form for form in forms if form.strip()} - self._shown
        if fresh:
            self._shown |= fresh
            self._pattern = _pattern(self._shown)
            long = [form for form in self._shown if len(form) >= KEY_CHARS_MIN]
            self._keys = _pattern(long) if long else None

    def mask(self, text: str) -> str:
        """The text without any value that was ever resolved."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def shows(self, body: bytes) -> bool:
        """May JSON hold a value that was ever resolved?"""
        return self._pattern is not None and self._pattern.search(body.decode()) is not None

    def mask_json(self, body: bytes) -> bytes:
        """JSON without any value that was ever resolved; the very object if there is none in it."""
        return msgspec.json.encode(self.mask_value(msgspec.json.decode(body))) if self.shows(body) else body

    def mask_value(self, value: Any) -> Any:
        """The same for every text inside a JSON value, and for a number that is a secret."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.mask(value)
        if is_mapping(value):
            return {self._mask_key(key): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.mask_value(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
        number = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
        return MASK if len(number) >= TEXT_CHARS_MIN and number in self._shown else value

    def _mask_key(self, key: str) -> str:
        return key if self._keys is None else self._keys.sub(MASK, key)

    def render(
        self, value: Any, env: Iterable[str] = (), vars: Mapping[str, Any] | None = None, leave: Collection[str] = ()
    ) -> Any:
        """Any configuration with its `${{ secrets.… }}`, `${{ env.… }}` and `${{ vars.… }}` resolved.

        `leave`: keys whose `${{ }}` are for later, such as `respond` of an http trigger. Raises ConfigError
        `missing_secret`, InvalidDefinition, ExpressionError.
        """
        later = {key: value[key] for key in leave if key in value} if is_mapping(value) else {}
        compiled = compile_value(
            {key: item for key, item in value.items() if key not in later} if later else value, _CONFIG_SCOPE
        )
        if compiled.constant:
            return value
        read = {str(path[1]) for path in compiled.reads if path[0] == "secrets" and len(path) > 1}
        roots: dict[str, Any] = {
            "secrets": {name: self.get(name) for name in sorted(read)},
            "env": {name: self._environ[name] for name in env if name in self._environ},
            "vars": dict(vars or {}),
        }
        rendered = compiled.render(Activation(roots))
        return {**rendered, **later} if later else rendered


def _pattern(forms: Iterable[str]) -> re.Pattern[str]:
    """Finds any of these texts, the longest first; one of less than TEXT_CHARS_MIN only as a word of its own."""
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    found = [re.escape(form) for form in longest_first]
    for at, form in enumerate(longest_first):
        if len(form) < TEXT_CHARS_MIN:
            found[at] = rf"(?<!\w){found[at]}(?!\w)"
    return re.compile("|".join(found))


def read_secret_file(path: FilePath) -> Mapping[str, str]:
    """Name → value of a file of secrets (a YAML or JSON mapping of texts); empty if there is no such file.

    Raises InvalidDefinition; its messages never show a value.
    """
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"the secrets of {path} cannot be read: {error.strerror}", hint="check who may read the file"
        ) from None
    diagnostics = Diagnostics()
    document = load_document(body, str(path), diagnostics)
    diagnostics.sources.clear()  # a line of this file is not for a message
    found: dict[str, str] = {}
    if document is not None and not is_mapping(document.value):
        hint = "write one `name: value` a line"
        diagnostics.error(
            "wrong_type", "a file of secrets is a mapping from names to texts", document.place(), hint=hint
        )
    elif document is not None:
        for name in document.value:
            value = document.source((name,))
            if value is None or document.value[name] is None:
                place = document.key_place((name,))
                diagnostics.error(
                    "wrong_type", f"the secret `{name}` must be text", place, path=(name,), hint="write it in quotes"
                )
            else:
                found[name] = value
    diagnostics.raise_errors()
    return found
