"""Which environment variables that begin with REACTOR_ are somebody's, and what was probably meant by one that is not.

A key of `reactor.yaml` has a variable of its own (`language/overrides.py`); beside those stand the ones named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .diagnostics import nearest
from .values import is_list, is_mapping

PREFIX = "REACTOR_"
# who reads them: the command line, the server; a `command` step is given the last three
_OTHERS = ("URL", "TOKEN", "TOKEN_FILE", "TOKENS", "TOKENS_FILE", "IDEMPOTENCY_KEY", "RUN", "STEP")
_SECRET = "SECRET"  # noqa: S105 - a part of a name
_OF_TESTS = ("SOAK", "TEST_", "BENCH_")
# what Kubernetes and Docker set in every container for a service that is called `reactor`
_OF_A_SERVICE = re.compile(r"SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
_LINK = re.compile(r"(tcp|udp|sctp)://.*")
_KNOWN_DEPTH = 3


def is_known(variable: str, environ: Mapping[str, str]) -> bool:
    """Is a variable without a key of its own read by somebody else?"""
    name = variable.removeprefix(PREFIX)
    if name in _OTHERS or name.startswith((_SECRET + "_", *_OF_TESTS)):
        return True
    return _OF_A_SERVICE.fullmatch(name) is not None and (name != "PORT" or _LINK.match(environ[variable]) is not None)


def meant(variable: str, schema: Mapping[str, Any]) -> str:
    """The name that was probably meant, by the schema of the keys; empty if none is near. No value is looked at."""
    name = variable.removeprefix(PREFIX)
    head, _, rest = name.partition("_")
    if rest and not rest.startswith("_") and nearest(head, (_SECRET,)):
        return f"{PREFIX}{_SECRET}_{rest}"
    near = nearest(name, [*_OTHERS, *_keys(schema, _KNOWN_DEPTH)])
    return PREFIX + near if near else ""


def _keys(schema: Mapping[str, Any], depth: int) -> Iterator[str]:
    """The keys of a schema and of the mappings in it, as variables name them."""
    properties: Any = schema.get("properties")
    if is_mapping(properties) and depth:
        for name, inner in properties.items():
            upper = name.replace("-", "_").upper()
            yield upper
            yield from (f"{upper}__{below}" for below in _keys(inner, depth - 1))
    several: Any = schema.get("anyOf")
    for one in several if is_list(several) else ():
        if is_mapping(one):
            yield from _keys(one, depth)
