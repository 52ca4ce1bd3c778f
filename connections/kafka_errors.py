"""What went wrong at a Kafka broker, as our errors."""

from __future__ import annotations

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ..core.errors import NotConnected, ReactorError, StepError, TransientError


@contextmanager
def translation(title: str) -> Generator[None]:
    """Errors of aiokafka as ours.

    NotConnected, TransientError `timeout`, and StepErrors `unauthorized`, `forbidden`, `too_large`, `tls`, `not_found`,
    `publish.rejected`.
    """
    from aiokafka.errors import ConsumerStoppedError, KafkaError

    try:
        yield
    except KafkaError as error:
        raise ours(error, title) from error
    except ssl.SSLError as error:
        raise StepError("tls", f"{title}: {error.reason or error}") from error
    except TimeoutError as error:
        raise TransientError(f"{title} gave no answer in time", code="timeout") from error
    except OSError as error:
        raise NotConnected(f"{title}: {error.strerror or error}") from error
    except ConsumerStoppedError as error:
        raise NotConnected(f"{title}: the client was closed") from error


def ours(error: BaseException, title: str) -> ReactorError:
    """The same error in our words."""
    from aiokafka import errors as kafka

    text = f"{title}: {str(error).strip() or type(error).__name__}"
    if isinstance(
        error,
        (
            kafka.AuthenticationFailedError,
            kafka.AuthenticationMethodNotSupported,
            kafka.SaslAuthenticationFailed,
            kafka.UnsupportedSaslMechanismError,
            kafka.IllegalSaslStateError,
        ),
    ):
        return StepError("unauthorized", text, hint="check `sasl` of the connection")
    if isinstance(
        error,
        (
            kafka.TopicAuthorizationFailedError,
            kafka.GroupAuthorizationFailedError,
            kafka.ClusterAuthorizationFailedError,
        ),
    ):
        return StepError("forbidden", text, hint="the user of the connection needs an ACL for this topic or group")
    if isinstance(error, (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)):
        return StepError("too_large", text)
    if isinstance(error, kafka.UnknownTopicOrPartitionError):
        return StepError("publish.rejected", f"{title}: there is no such topic or partition")
    if isinstance(error, (kafka.KafkaTimeoutError, kafka.RequestTimedOutError)):
        return TransientError(text, code="timeout")
    if isinstance(error, (kafka.KafkaConnectionError, kafka.NodeNotReadyError)) or lost_count(error):
        return NotConnected(text)
    if error_is_retriable(error):
        return NotConnected(text)
    return StepError("publish.rejected", text)


def lost_count(error: BaseException | None) -> bool:
    """Have an idempotent producer and the broker different numbers in mind? Then only a new producer can go on."""
    from aiokafka import errors as kafka

    return isinstance(
        error,
        (
            kafka.OutOfOrderSequenceNumber,
            kafka.DuplicateSequenceNumber,
            kafka.InvalidProducerEpoch,
            kafka.ProducerFenced,
            kafka.UnknownProducerId,
        ),
    )


def error_is_retriable(error: Any) -> bool:
    """Does the library say that the same request may succeed later?"""
    return bool(getattr(error, "retriable", False))


@contextmanager
def reading(title: str) -> Generator[None]:
    """The same for those who read: what says nothing of credentials or TLS may pass by itself."""
    try:
        with translation(title):
            yield
    except StepError as error:
        if error.code in ("unauthorized", "forbidden", "tls", "missing_extra"):
            raise
        raise NotConnected(str(error)) from error
