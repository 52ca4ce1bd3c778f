"""Secrets in what a step left behind: hidden in its data and texts, never in the words of the record itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from ..core.errors import ErrorInfo
from .run import StepRecord

Mask = Callable[[Any], Any]
"""A JSON value without any secret that was ever resolved."""


def masked_record(record: StepRecord, mask: Mask) -> StepRecord:
    """A step's end with nothing secret in its output, errors and log."""
    return structs.replace(
        record,
        output=mask(record.output),
        error=masked_error(record.error, mask) if record.error is not None else None,
        logs=tuple((at, level, mask(message), mask(fields)) for at, level, message, fields in record.logs),
        errors=tuple(masked_error(error, mask) for error in record.errors),
    )


def masked_error(error: ErrorInfo, mask: Mask) -> ErrorInfo:
    """An error with nothing secret in its texts and details, nor in those of its causes."""
    cause = masked_error(error.cause, mask) if error.cause is not None else None
    return structs.replace(
        error, message=mask(error.message), hint=mask(error.hint), details=mask(error.details), cause=cause
    )
