"""The keys of `kafka`. Source: triggers.md section 3."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from .contract import Duration, Size, TriggerConfig


class KafkaConfig(TriggerConfig):
    """`kafka`: topics, and the group that shares their partitions out."""

    exactly_one: ClassVar[tuple[tuple[str, ...], ...]] = (("topic", "topics", "pattern"),)

    topic: str | None = Field(default=None, min_length=1, examples=["orders"])
    topics: list[str] | None = Field(default=None, min_length=1)
    pattern: str | None = Field(default=None, min_length=1, description="a regular expression for the whole name")
    connection: str | None = None
    group: str | None = Field(default=None, min_length=1, description="this deployment's own by default")
    group_instance_id: str | None = Field(default=None, min_length=1, description="static member: of one node alone")
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    session_timeout: Duration = Field(default=10.0, ge=6, le=300)
    max_poll_interval: Duration = Field(default=300.0, ge=1, le=86_400)
    max_partition_fetch_bytes: Size = Field(default=1_048_576, ge=1024, le=1_073_741_824)
    key_format: Literal["text", "json", "binary"] = "text"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            re.compile(text or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return text

    def takes(self, topic: str) -> bool:
        """Is this one of the topics?"""
        if self.pattern is not None:
            return re.fullmatch(self.pattern, topic) is not None and not topic.startswith("__")
        return topic in self.names()

    def names(self) -> list[str]:
        """The topics that are named."""
        return [self.topic] if self.topic is not None else self.topics or []
