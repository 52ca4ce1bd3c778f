"""`file`: under the given folders only, whole or not at all, and safe to repeat."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from reactor.core.errors import StepError
from reactor.engine.actions import file_write
from reactor.engine.actions.file import FileAction
from reactor.testing.action_suite import ActionSuite, LentServices
from reactor.tests.actions.rig import Rig


class TestContract(ActionSuite):
    action = FileAction()

    @pytest.fixture
    def services(self, tmp_path: Path) -> Any:
        return LentServices(str(tmp_path))

    @pytest.fixture
    def valid_with(self) -> Any:
        return {"op": "write", "path": "a.txt", "text": "x"}

    @pytest.fixture
    def failing_with(self) -> Any:
        return {"op": "read", "path": "b.txt"}


async def failure(rig: Rig, with_: Any, **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        await rig("file", with_, **more)
    return caught.value


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_write_and_read(rig: Rig, tmp_path: Path) -> None:
    output = await rig("file", {"op": "write", "path": "out/a.txt", "text": "héllo"})
    mtime = output.pop("mtime")
    assert mtime.endswith("Z")
    assert output == {"path": "out/a.txt", "size": 6, "sha256": sha("héllo".encode())}
    assert (tmp_path / "out" / "a.txt").read_text() == "héllo"
    read = await rig("file", {"op": "read", "path": "out/a.txt"})
    assert read == {**output, "mtime": mtime, "content": "héllo"}
    await rig("file", {"op": "write", "path": "b.json", "json": {"a": [1]}})
    assert (await rig("file", {"op": "read", "path": "b.json", "as": "json"}))["content"] == {"a": [1]}
    await rig("file", {"op": "write", "path": "c.bin", "base64": "AP8="})
    assert (tmp_path / "c.bin").read_bytes() == b"\x00\xff"
    assert (await rig("file", {"op": "read", "path": "c.bin", "as": "base64"}))["content"] == "AP8="
    assert sorted(os.listdir(tmp_path)) == ["b.json", "c.bin", "out"]


async def test_overwrite(rig: Rig, tmp_path: Path) -> None:
    write = {"op": "write", "path": "a.txt", "text": "one"}
    await rig("file", write)
    await rig("file", write)  # a repeat after a crash finds its own work
    error = await failure(rig, {**write, "text": "two"})
    assert (error.code, str(error), error.hint) == (
        "exists",
        "write: `a.txt` is there already",
        "write `overwrite: true`",
    )
    (tmp_path / "a.txt").chmod(0o640)
    await rig("file", {**write, "text": "two", "overwrite": True})
    assert (tmp_path / "a.txt").read_text() == "two"
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["a.txt"]
    error = await failure(rig, {"op": "write", "path": "no/such/a.txt", "text": "", "parents": False})
    assert (error.code, str(error)) == ("file_not_found", "write: there is no `no/such/a.txt`")


async def test_reading_forms(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('name;n\n"a;b";1\nc;2\n')
    (tmp_path / "b.ndjson").write_text('{"a":1}\n\n[2]\n')
    (tmp_path / "c.txt").write_text("\ufeffone\r\ntwo\n")

    async def read(path: str, **more: Any) -> Any:
        return (await rig("file", {"op": "read", "path": path, **more}))["content"]

    assert await read("a.csv", **{"as": "csv", "delimiter": ";"}) == [
        {"name": "a;b", "n": "1"},
        {"name": "c", "n": "2"},
    ]
    assert (await read("a.csv", **{"as": "csv", "delimiter": ";", "header": False}))[0] == ["name", "n"]
    assert await read("b.ndjson", **{"as": "ndjson"}) == [{"a": 1}, [2]]
    assert await read("c.txt", **{"as": "lines"}) == ["one", "two"]
    (tmp_path / "twice.csv").write_text("a,a,a_2,\n1,2,3,4\n")
    assert await read("twice.csv", **{"as": "csv"}) == [{"a": "1", "a_3": "2", "a_2": "3", "": "4"}]
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "bad.ndjson").write_text('{"a":1}\n{"a":\n')
    (tmp_path / "bad.txt").write_bytes(b"ok\xff")
    for path, form, text in [
        ("bad.csv", "csv", "`bad.csv`, line 3, has 3 fields; the header has 2"),
        ("bad.ndjson", "ndjson", "`bad.ndjson`, line 2, is not JSON: Input data was truncated"),
        ("bad.txt", "text", "`bad.txt` is not UTF-8: byte 2"),
        ("c.txt", "json", "`c.txt` is not JSON: JSON is malformed: invalid character (byte 0)"),
    ]:
        error = await failure(rig, {"op": "read", "path": path, "as": form})
        assert (error.code, str(error)) == ("invalid_data", text)


@pytest.mark.req("E-ACT-1")
@pytest.mark.parametrize("op", ["read", "write", "append", "delete", "list", "stat", "mkdir", "hash", "copy", "move"])
async def test_nothing_outside_the_folders(rig: Rig, tmp_path: Path, tmp_path_factory: Any, op: str) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("s")
    (tmp_path / "link").symlink_to(outside)
    (tmp_path / "deep").symlink_to(outside / "secret")
    extra = {"write": {"text": "x"}, "append": {"text": "x"}, "copy": {"to": "y"}, "move": {"to": "y"}}.get(op, {})
    for path in ("../x", "/etc/passwd", "link/secret", str(outside / "secret"), "a/../../b"):
        error = await failure(rig, {"op": op, "path": path, **extra})
        assert error.code == "forbidden", path
        assert str(error) == f"`{path}` is outside the folders that may be touched: {tmp_path}"
        assert error.hint == "`server.files` in reactor.yaml lists them"
    if op not in ("delete", "move"):  # these take the link itself
        assert (await failure(rig, {"op": op, "path": "deep", **extra})).code == "forbidden"
    if op in ("copy", "move"):
        (tmp_path / "mine").write_text("m")
        assert (await failure(rig, {"op": op, "path": "mine", "to": "link/mine"})).code == "forbidden"
    assert (outside / "secret").read_text() == "s"
    assert os.listdir(outside) == ["secret"]


async def test_the_runs_temporary_folder(rig: Rig, tmp_path_factory: Any) -> None:
    temp = tmp_path_factory.mktemp("run")
    made: list[int] = []

    def make() -> str:
        made.append(1)
        return str(temp)

    await rig("file", {"op": "write", "path": "a", "text": ""}, temp_dir=make)
    assert made == []
    await rig("file", {"op": "write", "path": str(temp / "a"), "text": "x"}, temp_dir=make)
    assert (temp / "a").read_text() == "x"


async def test_json_that_others_write(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "marked.json").write_bytes(b'\xef\xbb\xbf{"a":1}')
    assert (await rig("file", {"op": "read", "path": "marked.json", "as": "json"}))["content"] == {"a": 1}
    for depth in (501, 100_000):  # the second is more than the interpreter bears
        (tmp_path / "deep.json").write_text("[" * depth + "]" * depth)
        for as_, where in (("json", ""), ("ndjson", ", line 1,")):
            error = await failure(rig, {"op": "read", "path": "deep.json", "as": as_})
            said = f"`deep.json`{where} is not JSON: it is nested over 500 deep"
            assert (error.code, error.class_, str(error)) == ("invalid_data", "park", said)


async def test_a_line_ends_where_files_end_one(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes("a\x0cb\r\nc\u2028d\x85e\rf\n\ng".encode())
    found = await rig("file", {"op": "read", "path": "lines", "as": "lines"})
    assert found["content"] == ["a\x0cb", "c\u2028d\x85e", "f", "", "g"]
    for text, lines in (("", []), ("a\n", ["a"]), ("a\n\n", ["a", ""])):
        (tmp_path / "lines").write_text(text)
        assert (await rig("file", {"op": "read", "path": "lines", "as": "lines"}))["content"] == lines


async def test_large_fields(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"a,b\n{'x' * 200_000},1\n")
    (row,) = (await rig("file", {"op": "read", "path": "a.csv", "as": "csv"}))["content"]
    assert (len(row["a"]), row["b"]) == (200_000, "1")


async def test_a_name_that_is_no_text_is_shown_by_its_bytes(rig: Rig, tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "wb"):
        found = await rig("file", {"op": "list", "path": "."})
    assert [(each["name"], each["path"]) for each in found["files"]] == [("\\udcff.txt", "\\udcff.txt")]


async def test_a_folder_does_not_go_into_itself(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    error = await failure(rig, {"op": "move", "path": "a", "to": "a/b"})
    assert (error.code, error.class_, str(error)) == ("conflict", "park", "move: `a`: Invalid argument")


async def test_missing(rig: Rig) -> None:
    for op in ("read", "stat", "hash", "list"):
        error = await failure(rig, {"op": op, "path": "none"})
        assert (error.code, str(error)) == ("file_not_found", f"{op}: there is no `none`")
        output = await rig("file", {"op": op, "path": "none", "missing": "ignore"})
        more = {"read": {"content": None}, "list": {"files": []}}.get(op, {})
        assert output == {"path": "none", "size": None, "mtime": None, "sha256": None, **more}


@pytest.mark.rule("4.2")
@pytest.mark.parametrize(
    ("with_", "code", "said"),
    [
        ({"op": "write", "text": "x"}, "conflict", "write: `.` is a folder"),
        ({"op": "append", "text": "x"}, "conflict", "append: `.` is a folder"),
        ({"op": "read"}, "conflict", "`.` is a folder"),
        ({"op": "copy", "to": "b"}, "conflict", "`.` is a folder"),
        ({"op": "move", "to": "b"}, "forbidden", "`.` is one of the folders of `server.files` itself"),
        ({"op": "delete"}, "forbidden", "`.` is one of the folders of `server.files` itself"),
    ],
)
async def test_the_folder_itself_is_there(rig: Rig, with_: Any, code: str, said: str) -> None:
    error = await failure(rig, {"path": ".", **with_})
    assert (error.code, str(error)) == (code, said)


async def test_repeats_find_their_work_done(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    move = {"op": "move", "path": "a", "to": "b"}
    first = await rig("file", move)
    assert await rig("file", move) == first
    assert first["path"] == "b"
    delete = {"op": "delete", "path": "b"}
    await rig("file", delete)
    await rig("file", delete)
    error = await failure(rig, {**delete, "missing": "fail"})
    assert str(error) == "delete: there is no `b`"
    await rig("file", {"op": "mkdir", "path": "d/e"})
    await rig("file", {"op": "mkdir", "path": "d/e"})
    error = await failure(rig, {"op": "move", "path": "none", "to": "nowhere"})
    assert (error.code, str(error)) == ("file_not_found", "move: there is no `none`")
    (tmp_path / "f").write_text("f")
    error = await failure(rig, {"op": "mkdir", "path": "f"})
    assert str(error) == "mkdir: `f` is there already, and no folder"
    for path in ("f/below", "f/far/below"):
        error = await failure(rig, {"op": "write", "path": path, "text": "x"})
        assert (error.code, str(error)) == ("conflict", f"write: `{path}` leads through a file as if it were a folder")


async def test_copy_and_move(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "folder").mkdir()
    output = await rig("file", {"op": "copy", "path": "a", "to": "new/b"})
    assert (output["path"], output["size"], output["sha256"]) == ("new/b", 3_000_000, sha(b"x" * 3_000_000))
    await rig("file", {"op": "copy", "path": "a", "to": "new/b"})
    (tmp_path / "c").write_text("other")
    assert str(await failure(rig, {"op": "copy", "path": "a", "to": "c"})) == "copy: `c` is there already"
    assert str(await failure(rig, {"op": "move", "path": "a", "to": "c"})) == "move: `c` is there already"
    await rig("file", {"op": "copy", "path": "a", "to": "folder"})
    assert (tmp_path / "folder" / "a").stat().st_size == 3_000_000
    await rig("file", {"op": "move", "path": "a", "to": "c", "overwrite": True})
    assert not (tmp_path / "a").exists()
    error = await failure(rig, {"op": "copy", "path": "folder", "to": "x"})
    assert (error.code, str(error)) == ("conflict", "`folder` is a folder")
    error = await failure(rig, {"op": "delete", "path": "folder"})
    assert (error.code, str(error)) == ("conflict", "delete: `folder`: Directory not empty")
    os.mkfifo(tmp_path / "pipe")
    error = await failure(rig, {"op": "read", "path": "pipe"})
    assert str(error) == "`pipe` is no plain file"


async def test_list_and_hash(rig: Rig, tmp_path: Path, tmp_path_factory: Any) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in ("d/b.txt", "d/a.txt", "d/c.csv", "d/e/z.txt", "d/.reactor-append-a.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "d" / "out").symlink_to(tmp_path_factory.mktemp("outside"))
    output = await rig("file", {"op": "list", "path": "d", "glob": "*.txt"})
    assert [(f["path"], f["name"], f["kind"], f["size"]) for f in output["files"]] == [
        ("d/a.txt", "a.txt", "file", 7),
        ("d/b.txt", "b.txt", "file", 7),
    ]
    output = await rig("file", {"op": "list", "path": "d", "glob": "**"})
    assert [(f["path"], f["kind"]) for f in output["files"]] == [
        ("d/a.txt", "file"),
        ("d/b.txt", "file"),
        ("d/c.csv", "file"),
        ("d/e", "folder"),
        ("d/e/z.txt", "file"),
        ("d/out", "link"),
    ]
    error = await failure(rig, {"op": "list", "path": "d", "glob": "../*"})
    assert str(error) == "the pattern `../*` leads out of its folder"
    assert (await rig("file", {"op": "hash", "path": "d/a.txt"}))["sha256"] == sha(b"d/a.txt")
    assert (await rig("file", {"op": "stat", "path": "d/a.txt"}))["size"] == 7


@pytest.mark.rule("4.6")
async def test_append_once_for_a_key(rig: Rig, tmp_path: Path) -> None:
    append = {"op": "append", "path": "log.txt", "text": "one\n"}
    await rig("file", append, key="k1")
    output = await rig("file", append, key="k1")
    assert output["size"] == 4
    await rig("file", {**append, "text": "two\n"}, key="k2")
    await rig("file", append, key="k1")
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"
    await rig("file", append, key="k3")
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\none\n"


@pytest.mark.rule("4.2")
async def test_append_after_a_crash_between_note_and_bytes(rig: Rig, tmp_path: Path) -> None:
    append = {"op": "append", "path": "log.txt", "text": "mine\n"}
    (tmp_path / "log.txt").write_text("old\n")
    notes = tmp_path / ".reactor-append-log.txt"
    notes.write_text("k1 4 5\n")  # noted, and nothing written
    await rig("file", append, key="k1")
    assert (tmp_path / "log.txt").read_text() == "old\nmine\n"
    (tmp_path / "log.txt").write_text("old\nmi")  # half of it written
    await rig("file", append, key="k1")
    assert (tmp_path / "log.txt").read_text() == "old\nmine\n"
    (tmp_path / "log.txt").write_text("old\nsomebody else\n")  # another wrote there
    await rig("file", append, key="k1")
    assert (tmp_path / "log.txt").read_text() == "old\nsomebody else\nmine\n"
    await rig("file", append, key="k1")
    assert (tmp_path / "log.txt").read_text() == "old\nsomebody else\nmine\n"


async def test_appends_at_once(rig: Rig, tmp_path: Path) -> None:
    await asyncio.gather(
        *(rig("file", {"op": "append", "path": "l", "text": f"line {i}\n"}, key=f"k{i}") for i in range(50))
    )
    assert sorted((tmp_path / "l").read_text().splitlines()) == sorted(f"line {i}" for i in range(50))


async def test_full_disk(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(file_write.os, "write", full)
    error = await failure(rig, {"op": "write", "path": "a", "text": "x"})
    assert (error.code, error.class_, str(error)) == (
        "resource_limit",
        "park",
        "write: `a`: No space left on device",
    )
    assert os.listdir(tmp_path) == []


async def test_reading_is_bounded(rig: Rig, tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(65 * 1024 * 1024)
    error = await failure(rig, {"op": "read", "path": "huge", "as": "base64"})
    assert (error.code, str(error)) == ("too_large", "`huge` has 65MiB; at most 64MiB are read")


def test_faults_at_load(rig: Rig) -> None:
    faults = rig.catalogue.faults
    assert faults("file", {"op": "read"}) == [("path", "is required and missing")]
    assert faults("file", {"op": "copy", "path": "a"}) == [("", "`to` is missing: `copy` needs it")]
    assert faults("file", {"op": "read", "path": "a", "overwrite": True}) == [("overwrite", "is not read by `read`")]
    assert faults("file", {"op": "write", "path": "a"}) == [
        ("", "one of `text`, `json` or `base64` is missing: what is to be written?")
    ]
    ((path, text),) = faults("file", {"op": "wirte", "path": "a"})
    names = "read, write, append, copy, move, delete, list, stat, mkdir, hash"
    assert (path, text) == ("op", f'expected one of {names}; found "wirte"; did you mean write?')
    assert faults("file", {"op": "read", "path": "${{ inputs.path }}"}) == []
    for delimiter in ('"', "\n", "\r"):  # Python's own reader takes them, or not, by its version
        assert rig.catalogue.faults("file", {"op": "read", "path": "a", "as": "csv", "delimiter": delimiter}) == [
            ("delimiter", "must not be a quotation mark or a line break")
        ]
