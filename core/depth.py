"""How deep JSON data is nested: deeper than EVENT_DEPTH_MAX is refused where it comes in (bounds on recursion)."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from .limits import ANSWER_DEPTH_MAX, EVENT_DEPTH_MAX

_FLAT = bytes.maketrans(b"{}", b"[]")
_REST = bytes(sorted(set(range(256)) - set(b'[]{}"')))


def may_be_deep(text: bytes, depth_max: int = EVENT_DEPTH_MAX) -> bool:
    """Judged by valid JSON text alone, at some 300 MB/s: may it be nested deeper? False is certain.

    Brackets are taken away pair by pair, innermost first, a level at a time. A string with a bracket in it would
    mislead that: then the answer is yes, and `is_deep` looks at the value.
    """
    if text.count(b"[") + text.count(b"{") <= depth_max:
        return False
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = text.translate(_FLAT, _REST).replace(b'""', b"")
    if b'"' in marks:
        return True
    for _ in range(depth_max):
        marks = marks.replace(b"[]", b"")
        if not marks:
            return False
    return True


def is_deep(value: Any, depth_max: int = EVENT_DEPTH_MAX) -> bool:
    """Is this value nested deeper, in lists and mappings? Costs about a microsecond for each of them."""
    level: list[Any] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth_max):
        if not level:
            return False
        below: list[Any] = []
        for each in level:
            below.extend(cast("dict[str, Any]", each).values() if isinstance(each, dict) else cast("list[Any]", each))
        level = [each for each in below if isinstance(each, (dict, list))]
    return bool(level)


def too_deep(text: bytes, value: Any, *, depth_max: int = EVENT_DEPTH_MAX) -> bool:
    """Is the value of this valid JSON text nested deeper?"""
    return may_be_deep(text, depth_max) and is_deep(value, depth_max)


def decoded(text: bytes | str) -> Any:
    """The value of JSON text that an action was given from outside; a byte order mark before it is none of it.

    Raises ValueError, with what is wrong: no JSON, no UTF-8 (UnicodeDecodeError), or nested over ANSWER_DEPTH_MAX.
    """
    body = text.removeprefix("\ufeff").encode() if isinstance(text, str) else text.removeprefix(b"\xef\xbb\xbf")
    try:
        value = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        pass
    else:
        if not too_deep(body, value, depth_max=ANSWER_DEPTH_MAX):
            return value
    raise ValueError(f"it is nested over {ANSWER_DEPTH_MAX} deep")
