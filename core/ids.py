"""Identities: numbers inside the store, text outside, digests where two places must agree.

A run or an event is an int64: the number of the process that made it (drawn anew at each start, never used again)
above a
counter. Outside a store a run is `<store>-<process>-<counter>`, so that two stores on one bus never produce equal ids.
"""

from __future__ import annotations

import hashlib
import secrets

COUNTER_BITS = 40
_COUNTER_MASK = (1 << COUNTER_BITS) - 1


class Numbers:
    """Draws the int64 numbers of one process, rising."""

    __slots__ = ("_next",)

    def __init__(self, node: int) -> None:
        self._next = node << COUNTER_BITS

    def draw(self) -> int:
        """The next number."""
        self._next += 1
        return self._next


def fresh_id() -> str:
    """A random identifier of 128 bits, as 32 hex digits: the id of an event whose source gives none."""
    return secrets.token_hex(16)


def fresh_key() -> bytes:
    """As long as a `digest`, and random: the key of what is meant to happen once more at every call."""
    return secrets.token_bytes(16)


def fresh_store_id() -> str:
    """The identity of a new store: 16 hex digits, the first 8 of which are shown."""
    return secrets.token_hex(8)


def digest(*parts: str | bytes | int) -> bytes:
    """16 bytes that stand for a sequence of parts; unequal sequences have unequal digests."""
    texts = [part.hex() if isinstance(part, bytes) else str(part) for part in parts]
    joined = "".join([f"{len(text)}:{text}" for text in texts])
    return hashlib.blake2b(joined.encode(), digest_size=16).digest()


def identity(trigger: str, source: str, id: str, replay: int = 0) -> bytes:
    """The dedupe key of an event by one trigger: 8 bytes for the id alone (so that it can be looked up), 8 for all of
    it.

    A replay (semantics 1.11) is an identity of its own.
    """
    return (
        hashlib.blake2b(id.encode(), digest_size=8).digest()
        + hashlib.blake2b(
            f"{len(trigger)}:{trigger}{len(source)}:{source}{id}{replay or ''}".encode(), digest_size=8
        ).digest()
    )


def id_prefix(id: str) -> bytes:
    """The first 8 bytes of every `identity` with this id."""
    return hashlib.blake2b(id.encode(), digest_size=8).digest()


def number_text(number: int) -> str:
    """`<process>-<counter>`."""
    return f"{number >> COUNTER_BITS}-{number & _COUNTER_MASK}"


def run_text(store: str, number: int) -> str:
    """A run's id outside the store; `store` is the store's id."""
    return f"{store[:8]}-{number >> COUNTER_BITS}-{number & _COUNTER_MASK}"


def run_number(text: str) -> int | None:
    """The number in a run's id, with or without the store's part; None if it is no such id."""
    parts = text.split("-")
    if len(parts) not in (2, 3) or not all(p.isascii() and p.isdigit() for p in parts[-2:]):
        return None
    node, counter = int(parts[-2]), int(parts[-1])
    return node << COUNTER_BITS | counter if counter <= _COUNTER_MASK and node < 1 << 22 else None


def own_run_number(store: str, text: str) -> int | None:
    """The number in the id of a run of this store; None if it is no such id, or another store's."""
    return run_number(text) if text.count("-") != 2 or text.startswith(store[:8] + "-") else None


def event_text(number: int) -> str:
    """An event's short key: `e<process>-<counter>`."""
    return f"e{number >> COUNTER_BITS}-{number & _COUNTER_MASK}"


def event_number(text: str) -> int | None:
    """The number in an event's short key; None if it is no such key."""
    return run_number(text[1:]) if text.startswith("e") and text.count("-") == 1 else None
