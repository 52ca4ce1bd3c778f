"""What a program that does not catch our errors is shown."""

import traceback

from reactor.core.errors import ConfigError


def test_a_traceback_says_what_to_do() -> None:
    error = ConfigError("no workflow in force has the mocked step `chek`", hint="did you mean check?")
    assert traceback.format_exception(error) == [
        "reactor.core.errors.ConfigError: no workflow in force has the mocked step `chek`\n",
        "help: did you mean check?\n",
    ]


def test_a_hint_that_the_message_has_is_not_said_twice() -> None:
    error = ConfigError("there is no `a`; help: write b", hint="write b")
    assert traceback.format_exception(error) == ["reactor.core.errors.ConfigError: there is no `a`; help: write b\n"]
