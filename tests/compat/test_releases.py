"""What the last two minor releases took and answered is taken and answered the same."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reactor.tests.compat import filed

pytestmark = pytest.mark.req("P-20")
RELEASES = filed.releases()


def read(folder: Path, name: str) -> Any:
    return msgspec.json.decode((folder / f"{name}.json").read_bytes())


def test_there_is_something_to_compare_with() -> None:
    assert RELEASES


@pytest.mark.parametrize("folder", RELEASES, ids=lambda each: each.name)
def test_its_definitions_load_and_mean_the_same(folder: Path) -> None:
    found, errors = filed.definitions(folder / "project")
    assert errors == []
    old = read(folder, "definitions")
    assert len(old) >= 10
    assert list(filed.changes(old, found)) == []


@pytest.mark.parametrize("folder", RELEASES, ids=lambda each: each.name)
async def test_its_requests_are_answered_the_same(folder: Path) -> None:
    old = read(folder, "answers")
    found = await filed.answers([each["request"] for each in old])
    wanted = [{"status": each["status"], "body": each["body"]} for each in old]
    assert [
        f"{each['request']['method']} {each['request']['path']}: {change}"
        for each, one, other in zip(old, wanted, found, strict=True)
        for change in filed.changes(one, other)
    ] == []


def test_a_change_is_seen_and_an_addition_is_none() -> None:
    old = read(RELEASES[-1], "definitions")
    new = copy.deepcopy(old)
    new["small"]["a_new_field"] = 1
    assert list(filed.changes(old, new)) == []
    new["small"]["parallel_limit"] = 11
    del new["small"]["on_error"]
    new["small"]["tags"].append("x")
    assert sorted(filed.changes(old, new)) == [
        "small.on_error is gone",
        "small.parallel_limit was 10 and is 11",
        "small.tags was [] and is ['x']",
    ]
    assert list(filed.changes({"a": True}, {"a": 1})) == ["a was True and is 1"]
