"""What is done where the operating system has no locks and no bounds."""

import os
from pathlib import Path

import pytest

from reactor.core import host
from reactor.core.errors import StepError
from reactor.engine.actions.process_watch import check_bounds


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_a_lock_keeps_others_out_until_it_is_closed(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "a"), opened(tmp_path / "a")
    host.lock(one)
    assert host.is_locked(other)
    with pytest.raises(BlockingIOError):
        host.lock(other)
    os.close(one)
    assert not host.is_locked(other)
    host.lock(other, shared=True)
    os.close(other)


def test_without_locks_nobody_is_kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "fcntl", None)
    one, other = opened(tmp_path / "a"), opened(tmp_path / "a")
    host.lock(one)
    host.lock(other)
    assert not host.is_locked(other)
    assert not host.has_locks()
    os.close(one)
    os.close(other)


@pytest.mark.parametrize("there", [None, object()], ids=["no resource", "no prlimit"])
def test_bounds_that_cannot_be_kept_are_refused(there: object, monkeypatch: pytest.MonkeyPatch) -> None:
    check_bounds(1, 1.0)
    monkeypatch.setattr(host, "resource", there)
    check_bounds(None, None)
    host.bound(os.getpid(), memory=1, cpu_s=0.0)
    with pytest.raises(StepError) as caught:
        check_bounds(1, None)
    assert (caught.value.code, str(caught.value), caught.value.hint) == (
        "config",
        "`limits`: this system cannot bound the memory or the CPU time of another process",
        "run it on Linux, or leave `memory` and `cpu` out",
    )
