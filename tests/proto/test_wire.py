"""The wire of the plugin protocol: every message has the bytes that stand in `wire.txt`, and the stubs are up to date.

A changed line of `wire.txt` is a protocol that plugins of others no longer speak: give it a new version instead.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from reactor.proto.v1 import action_pb2, action_pb2_grpc, plugin_pb2, plugin_pb2_grpc, trigger_pb2, trigger_pb2_grpc
from reactor.triggers.contract import Traits

HERE = Path(__file__).parent
PROTO = HERE.parents[1] / "proto"
FILES = ("plugin", "trigger", "action")
MODULES = (plugin_pb2, trigger_pb2, action_pb2)


def struct(**values: Any) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(values)
    return found


EVENT = b'{"specversion":"1.0","id":"1","source":"/serial/a","type":"lab.serial.line","data":"on"}'
HELLO = trigger_pb2.Hello(plugin="serial", protocol=1, version="1.2.0", kind="serial")
MESSAGES: dict[str, Message] = {
    "DescribeRequest": plugin_pb2.DescribeRequest(),
    "Traits": plugin_pb2.Traits(acknowledges=True, stable_ids=True, ordered=True, replays=True, shared=True),
    "Kind": plugin_pb2.Kind(
        name="serial",
        description="lines of a serial port",
        config_schema=struct(type="object"),
        traits=plugin_pb2.Traits(ordered=True),
        errors=["unauthorized"],
    ),
    "Action": plugin_pb2.Action(
        name="resize",
        description="makes an image smaller",
        input_schema=struct(type="object"),
        output_schema=struct(type="string"),
        pure=True,
        timeout_s=2.5,
        errors=["invalid_input", "http.*"],
        key_goes="nowhere",
    ),
    "Manifest": plugin_pb2.Manifest(
        name="lab",
        version="1.2.0",
        protocol=1,
        kinds=[plugin_pb2.Kind(name="serial")],
        actions=[plugin_pb2.Action(name="resize")],
    ),
    "Hello": HELLO,
    "Event": trigger_pb2.Event(delivery_id="7", cloudevent=EVENT),
    "Health": trigger_pb2.Health(serving=True, message="port open"),
    "FromPlugin.hello": trigger_pb2.FromPlugin(hello=HELLO),
    "FromPlugin.event": trigger_pb2.FromPlugin(event=trigger_pb2.Event(delivery_id="7", cloudevent=EVENT)),
    "FromPlugin.health": trigger_pb2.FromPlugin(health=trigger_pb2.Health(message="port gone")),
    "Configure": trigger_pb2.Configure(config=struct(device="/dev/ttyS0")),
    "Ack": trigger_pb2.Ack(delivery_id=["7", "8"]),
    "Nack": trigger_pb2.Nack(delivery_id=["9"], reason="invalid_data"),
    "Credit": trigger_pb2.Credit(amount=300),
    "Ping": trigger_pb2.Ping(),
    "Stop": trigger_pb2.Stop(reason="the definition changed"),
    "FromReactor.configure": trigger_pb2.FromReactor(configure=trigger_pb2.Configure(config=struct(baud=9600))),
    "FromReactor.ack": trigger_pb2.FromReactor(ack=trigger_pb2.Ack(delivery_id=["7"])),
    "FromReactor.nack": trigger_pb2.FromReactor(nack=trigger_pb2.Nack(delivery_id=["9"], reason="loop")),
    "FromReactor.credit": trigger_pb2.FromReactor(credit=trigger_pb2.Credit(amount=1)),
    "FromReactor.ping": trigger_pb2.FromReactor(ping=trigger_pb2.Ping()),
    "FromReactor.stop": trigger_pb2.FromReactor(stop=trigger_pb2.Stop(reason="bye")),
    "Call": action_pb2.Call(
        action="lab.resize",
        input=struct(width=100),
        idempotency_key="0123456789abcdef0123456789abcdef",
        run="1a2b3c4d-1-7",
        step="shrink",
        attempt=2,
        timeout_s=30.0,
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    "Error": action_pb2.Error(
        code="http.503", message="busy", hint="wait", details=struct(status=503), retry_after_s=1.5
    ),
    "Progress": action_pb2.Progress(share=0.25, text="1 of 4"),
    "Log": action_pb2.Log(level="info", message="opened", fields=struct(device="a")),
    "Reply.output": action_pb2.Reply(output=struct(width=100)),
    "Reply.error": action_pb2.Reply(error=action_pb2.Error(code="timeout", message="no answer")),
    "Reply.progress": action_pb2.Reply(progress=action_pb2.Progress(share=1.0)),
    "Reply.log": action_pb2.Reply(log=action_pb2.Log(level="warning", message="hot")),
}
GOLDEN = dict(line.split("\t") for line in (HERE / "wire.txt").read_text().splitlines())


@pytest.mark.parametrize("name", MESSAGES)
def test_encodes_to_the_bytes_of_the_golden_file(name: str) -> None:
    assert MESSAGES[name].SerializeToString(deterministic=True).hex() == GOLDEN[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_decodes_from_the_bytes_of_the_golden_file(name: str) -> None:
    message = MESSAGES[name]
    assert type(message).FromString(bytes.fromhex(GOLDEN[name])) == message


def test_every_message_and_every_branch_has_its_bytes() -> None:
    every: set[str] = set()
    for module in MODULES:
        for name, message in module.DESCRIPTOR.message_types_by_name.items():
            if "kind" in message.oneofs_by_name:
                every.update(f"{name}.{field.name}" for field in message.oneofs_by_name["kind"].fields)
            else:
                every.add(name)
    assert set(GOLDEN) == set(MESSAGES) == every


def test_every_field_is_in_the_golden_file() -> None:
    """Not only the message: a field that no sample sets could change its number unseen."""
    unset = [
        f"{message.DESCRIPTOR.name}.{field.name}"
        for name, message in MESSAGES.items()
        if "." not in name
        for field in message.DESCRIPTOR.fields
        if field not in [found for found, _ in message.ListFields()]
    ]
    assert unset == []


def test_speaks_of_version_1_and_of_the_services() -> None:
    assert {module.DESCRIPTOR.package for module in MODULES} == {"reactor.v1"}
    services = {
        f"{service.name}.{method.name}": (method.client_streaming, method.server_streaming)
        for module in MODULES
        for service in _descriptor(module).service
        for method in service.method
    }
    assert services == {
        "Plugin.Describe": (False, False),
        "TriggerPlugin.Run": (True, True),
        "TriggerHost.Attach": (True, True),
        "ActionPlugin.Execute": (False, True),
    }
    assert plugin_pb2_grpc.PluginServicer
    assert trigger_pb2_grpc.TriggerHostServicer
    assert action_pb2_grpc.ActionPluginServicer


def _descriptor(module: Any) -> FileDescriptorProto:
    found = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(found)
    return found


def test_traits_are_those_of_the_contract() -> None:
    assert [field.name for field in plugin_pb2.Traits.DESCRIPTOR.fields] == list(Traits.__struct_fields__)


def test_generating_again_gives_the_committed_stubs(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(PROTO, root / "proto", ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    (root / ".types").mkdir()
    (root / ".types" / "reactor").symlink_to("..")
    subprocess.run([sys.executable, "-P", *_command()], cwd=root, check=True)
    made = {each.name: each.read_bytes() for each in (root / "proto" / "v1").glob("*_pb2*")}
    committed = {each.name: each.read_bytes() for each in (PROTO / "v1").glob("*_pb2*")}
    assert sorted(made) == sorted(committed), "run `make proto`"
    assert [name for name in made if made[name] != committed[name]] == [], "run `make proto` and commit what it writes"


def _command() -> list[str]:
    """What `make proto` runs, without its interpreter."""
    makefile = (PROTO.parent / "Makefile").read_text()
    rule = makefile.partition("\nproto: setup-test\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    words = rule.split()
    assert words[:3] == ["$(PY)", "-m", "grpc_tools.protoc"], rule
    files = [f"reactor/proto/v1/{name}.proto" for name in FILES]
    assert [word for word in words if word.endswith(".proto")] == files
    return words[1:]


def test_the_extra_asks_for_what_the_stubs_need() -> None:
    """Generated code refuses older libraries when it is imported: the extra must not allow them."""
    needs = {
        "protobuf": re.search(r"Protobuf Python Version: ([\d.]+)", (PROTO / "v1/trigger_pb2.py").read_text()),
        "grpcio": re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", (PROTO / "v1/trigger_pb2_grpc.py").read_text()),
    }
    pyproject = (PROTO.parent / "pyproject.toml").read_text()
    for name, found in needs.items():
        assert found is not None
        assert f'"{name}>={found[1]},<' in pyproject
        assert _numbers(importlib.metadata.version(name)) >= _numbers(found[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
