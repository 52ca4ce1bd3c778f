"""Which part of an unrendered `with` decides where a request goes: what reads event, inputs or steps there is judged
harder.

Source: actions.md section 2 (`blocked_address`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

_HOST = re.compile(r"((?:\$\{\{.*?\}\}|[^/?#$]|\$(?!\{\{))*?://)?((?:\$\{\{.*?\}\}|[^/?#])*)", re.DOTALL)


def host_template(with_: Any) -> str:
    """The part of `url` that ends where its path begins, templates included; empty if a connection decides."""
    url = cast("Mapping[str, Any]", with_).get("url") if isinstance(with_, Mapping) else None
    if not isinstance(url, str):
        return ""
    found = _HOST.match(url)
    return found[0] if found is not None else url
