"""Text by the charset that a content type names: whatever stands there, the answer is text or ValueError."""

from __future__ import annotations


def charset_of(content_type: str) -> str:
    """The charset parameter of a content type, lower case; utf-8 without one."""
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower() or "utf-8"
    return "utf-8"


def decode_text(data: bytes, charset: str) -> str:
    """The bytes as text that can be stored.

    Raises ValueError: there is no such charset (also a codec of Python that makes no text), they are no text in it, or
    they give lone surrogates, which no JSON in UTF-8 can hold (`utf-7` and `unicode_escape` can).
    """
    try:
        text = data.decode(charset)
    except LookupError as error:
        raise ValueError(str(error)) from None
    if charset != "utf-8":
        text.encode()
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text, ended as files have them (`\\n`, `\\r\\n`, `\\r`): a form feed or U+2028 ends none."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]
