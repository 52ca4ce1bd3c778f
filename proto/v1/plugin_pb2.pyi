from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("name", "version", "protocol", "kinds", "actions")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    protocol: int
    kinds: _containers.RepeatedCompositeFieldContainer[Kind]
    actions: _containers.RepeatedCompositeFieldContainer[Action]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., protocol: _Optional[int] = ..., kinds: _Optional[_Iterable[_Union[Kind, _Mapping]]] = ..., actions: _Optional[_Iterable[_Union[Action, _Mapping]]] = ...) -> None: ...

class Kind(_message.Message):
    __slots__ = ("name", "description", "config_schema", "traits", "errors")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TRAITS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    config_schema: _struct_pb2.Struct
    traits: Traits
    errors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., config_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., traits: _Optional[_Union[Traits, _Mapping]] = ..., errors: _Optional[_Iterable[str]] = ...) -> None: ...

class Traits(_message.Message):
    __slots__ = ("acknowledges", "stable_ids", "ordered", "replays", "shared")
    ACKNOWLEDGES_FIELD_NUMBER: _ClassVar[int]
    STABLE_IDS_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    REPLAYS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    acknowledges: bool
    stable_ids: bool
    ordered: bool
    replays: bool
    shared: bool
    def __init__(self, acknowledges: _Optional[bool] = ..., stable_ids: _Optional[bool] = ..., ordered: _Optional[bool] = ..., replays: _Optional[bool] = ..., shared: _Optional[bool] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("name", "description", "input_schema", "output_schema", "pure", "timeout_s", "errors", "key_goes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PURE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    KEY_GOES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    input_schema: _struct_pb2.Struct
    output_schema: _struct_pb2.Struct
    pure: bool
    timeout_s: float
    errors: _containers.RepeatedScalarFieldContainer[str]
    key_goes: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., input_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., pure: _Optional[bool] = ..., timeout_s: _Optional[float] = ..., errors: _Optional[_Iterable[str]] = ..., key_goes: _Optional[str] = ...) -> None: ...
