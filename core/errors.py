"""Errors, branched by what the caller does next, and the one object that tells them to people.

ReactorError
├── ConfigError        a person must change something (class `fix`): `path`, `hint`
├── TransientError     the same call may work later (class `retry`): `retry_after_s`
│   ├── NotConnected   steers the supervisor: reconnect
│   └── StoreUnavailable   the store refuses writes for now: nothing is lost, input is refused
├── PermanentError     never with this input (class `park`): a dead letter, a failed run
│   └── StepError      a step's own failure, with a code of its own
├── StoreFailed        the store closed for good: the process must open it anew
│   └── Fenced         another process owns this store now
└── EndOfEvents        steers the supervisor: finished, not failed
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Any, Literal, get_args

from msgspec import Struct, field, json, structs

ErrorClass = Literal["retry", "fix", "park", "none"]
_CLASS_NAMES = frozenset(get_args(ErrorClass))

CAUSES_MAX = 8  # depth of `cause` that an error object keeps
MESSAGE_CHARS_MAX = 4_000  # of a message; a longer one is cut in its middle

# code -> class; a code below a named one (`http.503`) takes the class of the nearest above, but for the exceptions here
_CLASSES: dict[str, ErrorClass] = {
    "invalid_input": "park",
    "invalid_data": "park",
    "invalid_output": "park",
    "expression": "park",
    "timeout": "retry",
    "connection": "retry",
    "tls": "fix",
    "unauthorized": "fix",
    "forbidden": "fix",
    "rate_limited": "retry",
    "http": "park",
    "http.5xx": "retry",
    "http.408": "retry",
    "http.425": "retry",
    "blocked_address": "fix",
    "not_found": "park",
    "file_not_found": "park",
    "exists": "park",
    "conflict": "park",
    "too_large": "park",
    "resource_limit": "park",
    "step_failed": "retry",
    "step_crashed": "retry",
    "command.exit": "retry",
    "command.not_found": "fix",
    "sql.deadlock": "retry",
    "sql.serialization": "retry",
    "sql.unique": "park",
    "sql.constraint": "park",
    "sql.data": "park",
    "sql.syntax": "fix",
    "sql.undefined": "fix",
    "publish.rejected": "park",
    "publish.no_responders": "retry",
    "publish.no_topic": "retry",
    "smtp.4xx": "retry",
    "smtp.5xx": "park",
    "rejected": "park",
    "max_retries_exceeded": "park",
    "max_iterations": "park",
    "depth_limit": "park",
    "loop": "park",
    "missing_secret": "fix",
    "missing_connection": "fix",
    "missing_extra": "fix",
    "unknown_action": "fix",
    "unknown_workflow": "fix",
    "unavailable": "fix",
    "plugin_crashed": "retry",
    "plugin_protocol": "fix",
    "plugin_slow": "retry",
    "source_gap": "fix",
    "lost": "park",
    "interrupted": "fix",
    "crash_loop": "fix",
    "needs_version": "fix",
    "compensation_failed": "fix",
    "dependency_failed": "none",
    "cancelled": "none",
    "superseded": "none",
    "failed": "park",
    "config": "fix",
    "internal": "fix",
    "store_unavailable": "retry",
}


def class_of(code: str) -> ErrorClass:
    """What happens after an error of this code (actions.md §2); `park` for a code nobody declared."""
    while code:
        found = _CLASSES.get(code)
        if found is not None:
            return found
        head, _, tail = code.rpartition(".")
        if len(tail) == 3 and tail.isdigit():
            found = _CLASSES.get(f"{head}.{tail[0]}xx")
            if found is not None:
                return found
        code = head
    return "park"


def code_matches(pattern: str, code: str) -> bool:
    """Does a pattern of `retry.on` or `on_error` take this code: itself, all below it, `http.5xx` a hundred, `*`
    all.
    """
    if pattern == "*" or pattern == code or code.startswith(pattern + "."):
        return True
    head, _, tail = pattern.rpartition(".")
    return bool(head) and len(tail) == 3 and tail.endswith("xx") and code.startswith(f"{head}.{tail[0]}")


class ErrorPlace(Struct, frozen=True, omit_defaults=True):
    """Where in a definition an error belongs: file, 1-based line and column, path of keys."""

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""


class ErrorInfo(Struct, frozen=True, rename={"class_": "class"}):
    """The error object of actions.md §2, as histories, events and the API carry it."""

    code: str
    message: str
    class_: ErrorClass = "park"
    step: str | None = None
    attempt: int | None = None
    cause: ErrorInfo | None = None
    place: ErrorPlace | None = None
    hint: str = ""
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def codes(self) -> tuple[str, ...]:
        """Its own code, then the codes of its causes: what `on_error` looks at, outermost first.

        An error of another step that came before it (see `after`) is none of its own: that one was caught.
        """
        found: list[str] = []
        error: ErrorInfo | None = self
        while error is not None and len(found) < CAUSES_MAX:
            found.append(error.code)
            cause = error.cause
            earlier = cause is not None and cause.step not in (None, error.step) and error.code != "child_failed"
            error = None if earlier else cause
        return tuple(found)

    def after(self, earlier: ErrorInfo) -> ErrorInfo:
        """It with an error that came before it as its first cause."""
        cause = earlier if self.cause is None else self.cause.after(earlier)
        return structs.replace(self, cause=cause.as_cause())

    def as_cause(self) -> ErrorInfo:
        """It as the cause of another error: of too many causes those between the last and the first one are left
        out.
        """
        chain: list[ErrorInfo] = [self]
        while (cause := chain[-1].cause) is not None:
            chain.append(cause)
        if len(chain) <= CAUSES_MAX:
            return self
        kept = chain[-1]
        for each in reversed(chain[: CAUSES_MAX - 1]):
            kept = structs.replace(each, cause=kept)
        return kept


def said_by(error: BaseException) -> str:
    """The text of an exception, whatever its class does when it is asked for it."""
    try:
        return str(error)
    except Exception as e:  # noqa: BLE001  # foreign code, that makes the text of a failure
        return f"(its text cannot be made: {type(e).__name__})"


def is_ctrl_c(error: BaseException) -> bool:
    """May it be a Ctrl-C? Not where signals are handled otherwise, as the server does: there somebody raised it."""
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def is_given_up(error: BaseException) -> bool:
    """Is it the end of a coroutine that nobody awaits any more? Not inside a task that runs: there somebody raised
    it.
    """
    if not isinstance(error, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is None
    except RuntimeError:  # no loop runs any more
        return True


def legible(text: str) -> str:
    """Text as it can be stored: without the halves of characters that stand for bytes of names that are no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str) -> str:
    """What foreign code says, as a message keeps it: of bounded length."""
    half = MESSAGE_CHARS_MAX // 2
    return text if len(text) <= MESSAGE_CHARS_MAX else f"{text[:half]} … {text[-half:]}"


def _as_json(details: dict[str, Any]) -> dict[str, Any]:
    """Details that can be stored: what is no JSON value as the text that Python has for it."""
    try:
        json.encode(details)
    except (TypeError, ValueError, RecursionError):
        return {legible(str(name)): _shown(value) for name, value in details.items()}
    return details


def _shown(value: Any) -> Any:
    try:
        json.encode(value)
    except (TypeError, ValueError, RecursionError):
        return legible(value if isinstance(value, str) else repr(value))
    return value


class ReactorError(Exception):
    """Root of all errors that Reactor raises on purpose."""

    code = "failed"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        hint: str = "",
        details: Mapping[str, Any] | None = None,
        cause: ErrorInfo | None = None,
    ) -> None:
        super().__init__(legible(message))
        if code:
            self.code = code
        self.hint = hint
        if hint and hint not in message:
            self.add_note(f"help: {hint}")  # a program that does not catch it shows what to do, too
        self.details: dict[str, Any] = dict(details or {})
        self.cause = cause

    @property
    def class_(self) -> ErrorClass:
        """`retry`, `fix`, `park` or `none`."""
        return class_of(self.code)

    def info(
        self, *, step: str | None = None, attempt: int | None = None, place: ErrorPlace | None = None
    ) -> ErrorInfo:
        """This error as the object that histories carry."""
        details = _as_json(self.details) if self.details else self.details
        return ErrorInfo(self.code, str(self), self.class_, step, attempt, self.cause, place, self.hint, details)


class ConfigError(ReactorError):
    """A person must change something: a definition, a setting, a credential. `path` says where."""

    code = "config"

    def __init__(
        self, message: str, *, path: str = "", hint: str = "", code: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.path = path

    @property
    def class_(self) -> ErrorClass:
        """Always `fix`."""
        return "fix"


class TransientError(ReactorError):
    """The same call may work later; `retry_after_s` is the least wait the other side asked for, in seconds."""

    code = "connection"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        code: str = "",
        hint: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.retry_after_s = retry_after_s

    @property
    def class_(self) -> ErrorClass:
        """Always `retry`."""
        return "retry"


class NotConnected(TransientError):
    """The source or service cannot be reached now."""


class StoreUnavailable(TransientError):
    """The store refuses writes for now (disk full, database away): nothing acknowledged is lost, try again later."""

    code = "store_unavailable"
    in_doubt = False  # between store and database: the commit was sent, and its answer is missing


def input_in_doubt() -> StoreUnavailable:
    """For who sent an event while the store failed for good."""
    return StoreUnavailable(
        "the store failed, and whether the event was taken is unknown",
        hint="send it again under the same id: what was taken is not taken twice",
    )


class PermanentError(ReactorError):
    """Never with this input: the event becomes a dead letter, the step fails without a repetition."""

    @property
    def class_(self) -> ErrorClass:
        """Always `park`."""
        return "park"


class StepError(ReactorError):
    """A step's own failure, raised by Python steps and actions: a code, and the class that says what happens next."""

    def __init__(
        self,
        code: str,
        message: str,
        class_: ErrorClass | None = None,
        *,
        hint: str = "",
        details: Mapping[str, Any] | None = None,
        cause: ErrorInfo | BaseException | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        if isinstance(cause, BaseException):
            cause = ErrorInfo("step_failed", legible(shortened(f"{type(cause).__name__}: {said_by(cause)}")), "retry")
        super().__init__(shortened(str(message)), code=str(code), hint=str(hint), details=details, cause=cause)
        if class_ is not None and class_ not in _CLASS_NAMES:
            raise ValueError(f"the class of an error is retry, fix, park or none; found {class_!r}")
        self._class: ErrorClass = class_ or class_of(self.code)
        self.retry_after_s = retry_after_s

    @property
    def class_(self) -> ErrorClass:
        """As given, else that of the code."""
        return self._class


class StoreFailed(ReactorError):
    """The store closed for good; whether its last commit stands is unknown until it is opened anew."""

    code = "store_failed"


class Fenced(StoreFailed):
    """Another process owns this store now: this one must write nothing more, and end."""

    code = "fenced"


class EndOfEvents(ReactorError):
    """A source has no more events; its trigger is finished, not failed."""

    code = "end_of_events"
