"""Runs a command of pytest in several processes at once, each test in one of them: side_by_side.py COUNT COMMAND...

Every process collects all tests, and takes the next file that no other has taken, so that nobody has to know how long
a file takes. What belongs to the session each has for itself, the servers too. It fails when a process did, and when
not every test that was collected ran: what a process that died had taken, nobody runs.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from threading import Thread
from typing import IO

import pytest

TOGETHER = ("tests/packaging/",)
"""Folders that one process takes as a whole: their files share environments that take minutes to make."""
_FAILED = re.compile(r"(\x1b\[\d+m)*(FAILED|ERROR)(\x1b\[\d+m)* ")
_counts = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--taken", type=Path, required=True, help="the folder where the processes note what they took")


def taken(items: Sequence[pytest.Item], folder: Path) -> Iterator[pytest.Item]:
    """The tests of the files that this process is the first to take; a file is taken when its turn comes. What takes
    longest is begun first, lest one process ends long before the other.
    """
    ours: set[str] = set()
    items = sorted(items, key=lambda item: not item.nodeid.startswith(TOGETHER))

    def unit(item: pytest.Item) -> str:
        file = item.nodeid.partition("::")[0]
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)

    for name, of_unit in groupby(items, unit):
        try:
            (folder / name.replace("/", "+")).touch(exist_ok=False)
            ours.add(name)
        except FileExistsError:
            pass
        if name in ours:
            yield from of_unit


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """As pytest's own; but the test after this one, up to which fixtures are ended, is the next that is ours."""
    counts = session.config.stash[_counts] = {"collected": len(session.items), "ran": 0}
    if session.testsfailed or session.config.option.collectonly:
        return None  # then pytest's own says what there is to say
    ours = taken(session.items, session.config.getoption("--taken"))
    item = next(ours, None)
    while item is not None:
        following = next(ours, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        counts["ran"] += 1
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield
    if counts := session.config.stash.get(_counts, None):
        (session.config.getoption("--taken") / f".counts-{os.getpid()}").write_text(json.dumps(counts))


def main(count: int, command: Sequence[str]) -> int:
    """Run the command so many times side by side; 0 when all ended well and every test ran."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what ends us ends them too
    with tempfile.TemporaryDirectory(prefix="reactor-taken-") as name:
        folder = Path(name)
        ours = [*command, "-p", "reactor.tests.side_by_side", f"--taken={folder}"]
        if sys.stdout.isatty():
            ours.append("--color=yes")
        processes: list[subprocess.Popen[str]] = []
        tellers: list[Thread] = []
        failed: list[str] = []
        try:
            for number in range(1, count + 1):
                process = subprocess.Popen(
                    ours, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
                )
                processes.append(process)
                assert process.stdout is not None
                tellers.append(Thread(target=_tell, args=(number, process.stdout, failed), daemon=True))
                tellers[-1].start()
            statuses = [process.wait() for process in processes]
        except KeyboardInterrupt:  # the terminal told them too
            for process in processes:
                process.wait()
            raise
        finally:
            for process in processes:
                process.terminate()  # of one that has ended already this does nothing
                process.wait()
            for teller in tellers:
                teller.join(5)  # no longer: what a test left running may hold the pipe open
        counts = [json.loads(each.read_text()) for each in folder.glob(".counts-*")]
    problems = [f"process {number} ended with {status}" for number, status in enumerate(statuses, 1) if status]
    ran = sum(each["ran"] for each in counts)
    if len(counts) != count or {each["collected"] for each in counts} != {ran}:
        collected = ", ".join(str(each["collected"]) for each in counts)
        problems.append(f"{ran} tests ran, and the processes had collected {collected or 'none'}")
    print("".join(failed), end="")  # once more, where it is looked for first
    print(f"Side by side: {'; '.join(problems) or f'{ran} tests passed'}.", flush=True)
    return 1 if problems else 0


def _tell(number: int, output: IO[str], failed: list[str]) -> None:
    """Pass a process's lines on as they come, whole, with its number before them, and keep what its summary lists."""
    for line in output:
        print(f"{number}| {line}", end="", flush=True)
        if _FAILED.match(line):
            failed.append(line)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:]))
