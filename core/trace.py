"""The trace that a sender names by a plain HTTP header. Source: W3C Trace Context, section 3.2."""

from __future__ import annotations

import re
from collections.abc import Mapping

_CHARS_MAX = 512  # of a version to come; that of version 00 has 55
_parent = re.compile(r"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch


def trace_of(headers: Mapping[str, str]) -> dict[str, str]:
    """The extensions that a request's headers (lower-case names) give to events that name no trace themselves.

    A header that says nothing is ignored; of a version to come, what version 00 knows of it is passed on.
    """
    header = headers.get("traceparent", "").strip(" \t")
    found = _parent(header) if header and len(header) <= _CHARS_MAX else None
    if found is None or found[1] == "ff" or (found[1] == "00" and found[5] is not None):
        return {}
    flags = found[4] if found[1] == "00" else f"{int(found[4], 16) & 1:02x}"
    return {"traceparent": f"00-{found[2]}-{found[3]}-{flags}"}
