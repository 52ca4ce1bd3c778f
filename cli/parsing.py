"""A verb's words and options, read by the table.

The table serves help, completion and this alike, so that no parser's own is needed: one would cost more than all of
`reactor --help` (cyclopts 0.14 s), or could not take words and options in any order (argparse).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import ReactorError
from ..language.diagnostics import did_you_mean
from .failures import Usage
from .help import usage
from .verbs import GLOBAL, HEADS, UNAVAILABLE, VERBS, Opt, Verb

_LISTENS = ("serve", "dev")
_SETTINGS = ("--host", "--port", "--timezone", "--drain")  # of `server`: what elsewhere is an option


class Given:
    """What was given to a verb, by the names of the table."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb
        self._words: dict[str, list[str]] = {}
        self._options: dict[str, list[str]] = {}

    @property
    def project(self) -> Path:
        """The project's folder, absolute. Raises Usage if there is none."""
        folder = Path(self.text("project") or ".").absolute()
        if not folder.is_dir():
            raise Usage(f"there is no folder {folder}", hint="name the project's folder with --project DIR")
        return folder

    @property
    def output(self) -> str:
        """`table`, `json` or `yaml`."""
        return self.text("output") or "table"

    def word(self, name: str) -> str:
        """A positional word; empty if it was not given."""
        found = self._words.get(name)
        return found[0] if found else ""

    def words(self, name: str) -> list[str]:
        """All of a positional that takes several."""
        return self._words.get(name, [])

    def text(self, name: str) -> str:
        """An option's value; empty if it was not given."""
        found = self._options.get(name)
        return found[-1] if found else ""

    def many(self, name: str) -> list[str]:
        """All values of an option that may be repeated."""
        return self._options.get(name, [])

    def flag(self, name: str) -> bool:
        """Was this flag given?"""
        return name in self._options

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        return int(self.text(name) or default)

    def put_option(self, option: Opt, value: str) -> None:
        """Take a value of an option, checked."""
        if option.choices and value not in option.choices:
            raise Usage(f"--{option.name} takes {', '.join(option.choices)}; found `{value}`", hint=_how(self.verb))
        if option.count and not (value.isascii() and value.isdigit() and len(value) < 10):
            raise Usage(f"--{option.name} takes a whole number; found `{value}`", hint=_how(self.verb))
        if option.count and int(value) < option.least:
            raise Usage(f"--{option.name} takes at least {option.least}; found `{value}`", hint=_how(self.verb))
        found = self._options.setdefault(option.name, [])
        if found and option.metavar and not option.many:
            raise Usage(f"--{option.name} is given twice", hint=_how(self.verb))
        found.append(value)

    def put_words(self, words: Sequence[str]) -> None:
        """Share the positional words out. Raises Usage: too few, too many."""
        left = list(words)
        for arg in self.verb.args:
            taken = left if arg.many else left[:1]
            left = left[len(taken) :]
            if not taken and not arg.optional:
                raise Usage(f"`reactor {self.verb.name}` needs {arg.name.upper()}: {arg.help}", hint=_how(self.verb))
            self._words[arg.name] = list(taken)
        if left:
            raise Usage(f"`reactor {self.verb.name}` takes no further word; found `{left[0]}`", hint=_how(self.verb))


def parse(verb: Verb, ahead: Sequence[str], after: Sequence[str]) -> Given:
    """Read what stands ahead of a verb (options of every verb) and after it.

    Raises Usage, and ReactorError `unavailable` for an option of the language that this version does not carry out.
    """
    given = Given(verb)
    _read(given, GLOBAL, {}, ahead)
    given.put_words(_read(given, (*verb.options, *GLOBAL), verb.unavailable, after))
    if given.text("server") and not verb.speaks:
        raise Usage(f"`reactor {verb.name}` works on the project's folder: it speaks to no server", hint=_how(verb))
    return given


def _read(given: Given, known: Sequence[Opt], unavailable: Mapping[str, str], written: Sequence[str]) -> list[str]:
    """Take the options; the words between them."""
    options = {f"--{option.name}": option for option in known}
    shorts = {f"-{option.short}": option for option in known if option.short}
    words, left = list[str](), list(written)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*words, *left]
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        if name.removeprefix("--") in unavailable:
            raise _unavailable(f"`reactor {given.verb.name} {name}`", unavailable[name.removeprefix("--")])
        option = options.get(name) or shorts.get(name)
        if option is None:
            hint = (_setting(name) if given.verb.name in _LISTENS else "") or did_you_mean(name, options)
            raise Usage(f"`reactor {given.verb.name}` has no option {name}", hint=hint or _how(given.verb))
        if not option.metavar:
            if equals:
                raise Usage(f"{name} takes no value; found `{value}`", hint=_how(given.verb))
        elif not equals:
            if not left:
                raise Usage(f"{name} needs a value: {option.help}", hint=_how(given.verb))
            value = left.pop(0)
        given.put_option(option, value)
    return words


def refuse(name: str) -> ReactorError:
    """The error for a verb that there is not."""
    head = name.partition(" ")[0]
    for each in (name, head):
        if each in UNAVAILABLE:
            return _unavailable(f"`reactor {each}`", UNAVAILABLE[each])
    if head in HEADS or any(each.startswith(head + " ") for each in UNAVAILABLE):
        second = name.partition(" ")[2]
        known = [each.partition(" ")[2] for each in (*VERBS, *UNAVAILABLE) if each.startswith(head + " ")]
        what = f"`reactor {head}` has no verb `{second}`" if second else f"`reactor {head}` needs a verb"
        return Usage(what, hint=did_you_mean(second, known))
    return Usage(f"there is no verb `{name}`", hint=did_you_mean(name, {each.partition(" ")[0] for each in VERBS}))


def _unavailable(what: str, instead: str) -> ReactorError:
    return ReactorError(f"{what} is not available in this version", code="unavailable", hint=instead)


def _setting(name: str) -> str:
    """Where one says what is no option, but a setting."""
    key = name.removeprefix("--")
    return (
        f"it is a setting: `server: {{{key}: …}}` in reactor.yaml, or REACTOR_SERVER__{key.upper()} in the environment"
        if name in _SETTINGS
        else ""
    )


def _how(verb: Verb) -> str:
    return f"{usage(verb)}; `reactor {verb.name} --help` says more"
