"""`reactor`: finds the verb, shows help from the table alone, and turns every end into its exit code.

Nothing heavy is imported before a verb is known; its own module is imported then. Source: the language page, section 6.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from .. import __version__
from .verbs import GLOBAL, HEADS, UNAVAILABLE, VERBS, Verb

DONE, USAGE, INTERRUPTED = 0, 2, 130
LEFT_S = 3.0
"""So long other threads have when all is done: one may wait for a disk or a name server that never answers."""
SERVING = ("serve", "dev")
"""The verbs whose process reads its files again on SIGHUP, as soon as it can; till then it is no reason to die."""


def program() -> NoReturn:
    """The command line as a process of its own: a thread that is at work still does not keep it from ending."""
    code = main()
    last = threading.Timer(LEFT_S, os._exit, (code,))
    last.daemon = True
    last.start()
    sys.exit(code)


def main(argv: list[str] | None = None) -> int:
    """Carry out the command line (`sys.argv` by default); the exit code."""
    _open_what_is_closed()
    named, ahead, after = split(sys.argv[1:] if argv is None else argv)
    options = [*ahead, *(after[: after.index("--")] if "--" in after else after)]
    try:
        code = _answer(named, options) if _answers_itself(named, options) else _carry_out(named, ahead, after)
        return _written(code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough of it
        _print_no_more()
        return DONE
    except Exception as error:  # noqa: BLE001  # told to people, with its exit code
        from .failures import tell, unwritable

        if unwritable(error):
            _print_no_more()
        return tell(error, debug="--debug" in options)


def _open_what_is_closed() -> None:
    """Whoever starts us with a closed output wants none; the files and sockets to come must not take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open as long as the process lives


def _written(code: int) -> int:
    """The exit code, once the output is."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        from .failures import tell

        _print_no_more()
        return tell(error)
    return code


def _print_no_more() -> None:
    """What is left of the output would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _answers_itself(named: list[str], options: list[str]) -> bool:
    """Does the table alone answer: help, the version, a verb of two words of which one is given?"""
    name = " ".join(named)
    return not named or name in HEADS or (name in VERBS and ("-h" in options or "--help" in options))


def _answer(named: list[str], options: list[str]) -> int:
    if not named and "--version" in options:
        print(__version__)
        return DONE
    from .help import find

    print(find(named))
    return DONE if "-h" in options or "--help" in options else USAGE


def split(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The one or two words that name the verb, the options ahead of the last of them, and all that follows."""
    valued = {f"--{option.name}" for option in GLOBAL if option.metavar}
    valued |= {f"-{option.short}" for option in GLOBAL if option.short}
    named: list[str] = []
    ahead: list[str] = []
    i = 0
    while i < len(words) and words[i] != "--":
        if words[i].startswith("-"):
            taken = 2 if words[i] in valued else 1
            ahead += words[i : i + taken]
            i += taken
            continue
        named.append(words[i])
        i += 1
        if len(named) == 2 or not (named[0] in HEADS or any(n.startswith(named[0] + " ") for n in UNAVAILABLE)):
            break
    return named, ahead, words[i:]


def _not_read_yet(*_: object) -> None:
    """SIGHUP before a server is there to heed it: what is to be read again has not been read yet."""


def _carry_out(named: list[str], ahead: list[str], after: list[str]) -> int:
    name = " ".join(named)
    if name in SERVING and hasattr(signal, "SIGHUP"):  # before what takes long to import
        signal.signal(signal.SIGHUP, _not_read_yet)  # not SIG_IGN, which the programs of steps would inherit
    from importlib import import_module

    from .parsing import parse, refuse
    from .starting import uncollected

    verb: Verb | None = VERBS.get(name)
    if verb is None:
        raise refuse(name)
    given = parse(verb, ahead, after)
    module, _, function = verb.target.partition(":")
    with uncollected():
        handler = getattr(import_module(module, __package__), function)
    if not verb.speaks:
        return handler(given) or DONE
    from .client import speak

    return speak(handler, given)


if __name__ == "__main__":
    program()
