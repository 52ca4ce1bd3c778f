"""A process that outlives ours for a moment, to end the programs that ours can end no more: it was killed.

Run by its path, as `python -I -S warden.py`, so that it is up within milliseconds and small: it imports nothing of
Reactor. Lines come in by its standard input: `+NUMBER KEY`, a program is about to start whose environment holds this
key; `=NUMBER SESSION`, it has; `-NUMBER`, it and all that it left behind are gone. The end of the input is our own end:
then the sessions that are left are killed, with what was about to start. It ends after that, and by nothing else.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal

KEY = b"REACTOR_IDEMPOTENCY_KEY="
"""The variable by which a program is known whose start was not told any more."""
LOOKS_S = (0.0, 0.05, 0.2, 0.5)  # pauses: what was being forked has its own environment and session a moment later


class Open:
    """The programs that were told of and have not ended: the key of each, and its session once it has one."""

    def __init__(self) -> None:
        self.keys: dict[bytes, bytes] = {}
        self.sessions: dict[bytes, int] = {}

    def hear(self, line: bytes) -> None:
        """Take one line."""
        number, _, word = line[1:].partition(b" ")
        if line[:1] == b"+":
            self.keys[number] = word
        elif line[:1] == b"=":
            self.keys.pop(number, None)
            self.sessions[number] = int(word)
        else:
            self.keys.pop(number, None)
            self.sessions.pop(number, None)

    def end(self) -> None:
        """Kill all of it, more than once: what is being forked is not in the list of processes yet."""
        sessions, keys = set(self.sessions.values()), set(self.keys.values()) - {b""}
        for pause in LOOKS_S if sessions or keys else ():
            select.select((), (), (), pause)  # no clock of core's: nothing of Reactor is imported here
            for leader in sessions:
                with contextlib.suppress(OSError):
                    os.killpg(leader, signal.SIGKILL)
            for pid, session in processes():
                if session not in sessions and keys and key_of(pid) in keys:
                    sessions.add(session)
                if session in sessions:
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)


def processes() -> list[tuple[int, int]]:
    """Every process and its session; none where there is no /proc: groups are killed there, and no more."""
    found: list[tuple[int, int]] = []
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir("/proc")
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                found.append((int(name), int(file.read().rpartition(b")")[2].split()[3])))
    return found


def key_of(pid: int) -> bytes | None:
    """The key in a process's environment, if it is ours to read."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for variable in file.read().split(b"\0"):
            if variable.startswith(KEY):
                return variable[len(KEY) :]
    return None


def main(channel: int = 0) -> None:
    """Listen until the other end is gone, then end what is open."""
    found, rest = Open(), b""
    while data := os.read(channel, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            found.hear(line)
    found.end()


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # those are for who is watched; systemd sends them to every process
    main()
