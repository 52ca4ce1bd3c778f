"""Output of any length in bounded memory: its beginning and its end, the middle cut and marked."""

from __future__ import annotations


class KeptOutput:
    """Takes bytes as they come and keeps at most `limit` of them, half from each end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head_max = limit - limit // 2
        self._tail_max = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take more."""
        self.total += len(data)
        room = self._head_max - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        if len(self._tail) > 2 * self._tail_max + 65_536:
            del self._tail[: len(self._tail) - self._tail_max]

    @property
    def truncated(self) -> bool:
        """Was anything left out?"""
        return self.total > self._limit

    def text(self) -> str:
        """What was kept, as UTF-8 (what is not becomes U+FFFD), the cut marked with the number of bytes left out."""
        if not self.truncated:
            return (bytes(self._head) + bytes(self._tail)).decode(errors="replace")
        tail = bytes(self._tail[-self._tail_max :]) if self._tail_max else b""
        left_out = self.total - len(self._head) - len(tail)
        while tail and tail[0] & 0xC0 == 0x80:  # the rest of a character that was cut
            tail, left_out = tail[1:], left_out + 1
        head = bytes(self._head)
        for back in range(1, min(4, len(head)) + 1):  # the beginning of one
            first = head[-back]
            if first & 0xC0 != 0x80:
                needs = 4 if first >= 0xF0 else 3 if first >= 0xE0 else 2 if first >= 0xC0 else 1
                if needs > back:
                    head, left_out = head[:-back], left_out + back
                break
        return f"{head.decode(errors='replace')}\n… {left_out} bytes left out …\n{tail.decode(errors='replace')}"
