"""The texts of `--help` and `--version`, made of the table of verbs alone."""

from __future__ import annotations

from .verbs import GLOBAL, GROUPS, HEADS, VERBS, Opt, Verb

EXITS = "Exit codes: 0 done, 1 the run failed, 2 wrong use or input, 3 not found, 4 no server reached, 130 interrupted."


def overview() -> str:
    """All verbs, by group."""
    lines = [
        "Reactor: when something happens, run a durable workflow.",
        "",
        "Usage: reactor [OPTIONS] VERB [...]",
        "       reactor VERB --help",
    ]
    for title, verbs in GROUPS:
        lines += ["", f"{title}:", *_rows([(verb.name, verb.summary) for verb in verbs])]
    lines += ["", "Options:", *_options((*GLOBAL, *_ALWAYS, _VERSION)), "", EXITS]
    return "\n".join(lines)


def of_head(head: str) -> str:
    """The verbs that begin with this word, such as `trigger`."""
    rows = [(name, verb.summary) for name, verb in VERBS.items() if name.startswith(head + " ")]
    return "\n".join([f"Usage: reactor {head} VERB [...]", "", "Verbs:", *_rows(rows)])


def of_verb(verb: Verb) -> str:
    """One verb: usage, words, options."""
    lines = [verb.summary + ".", "", "Usage: " + usage(verb)]
    if verb.text:
        lines += ["", verb.text]
    if verb.args:
        lines += ["", "Words:", *_rows([(arg.name.upper(), arg.help) for arg in verb.args])]
    if verb.options:
        lines += ["", "Options:", *_options(verb.options)]
    lines += ["", "Options of every verb:", *_options((*GLOBAL, *_ALWAYS))]
    return "\n".join(lines)


def usage(verb: Verb) -> str:
    """The line that shows how the verb is written."""
    parts = [f"reactor {verb.name}"]
    for arg in verb.args:
        word = arg.name.upper() + (" ..." if arg.many else "")
        parts.append(f"[{word}]" if arg.optional else word)
    if verb.options:
        parts.append("[OPTIONS]")
    return " ".join(parts)


def find(words: list[str]) -> str:
    """The help that these words ask for: of a verb, of its first word, else the overview."""
    for name in (" ".join(words[:2]), *words[:1]):
        if name in VERBS:
            return of_verb(VERBS[name])
    return of_head(words[0]) if words and words[0] in HEADS else overview()


_ALWAYS = (Opt("help", "", "show this help", short="h"),)
_VERSION = Opt("version", "", "show the version of Reactor")


def _options(options: tuple[Opt, ...] | list[Opt]) -> list[str]:
    rows: list[tuple[str, str]] = []
    for option in options:
        short = f"-{option.short}, " if option.short else ""
        help = option.help + (", may be repeated" if option.many else "")
        rows.append((f"{short}--{option.name}" + (f" {option.metavar}" if option.metavar else ""), help))
    return _rows(rows)


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"  {left.ljust(width)}  {right}" for left, right in rows]
