"""`completion`: a shell's completion script, made of the table of verbs."""

from __future__ import annotations

from .failures import Usage
from .parsing import Given
from .verbs import GLOBAL, VERBS, Verb


def completion(given: Given) -> None:
    """Print the script."""
    made = {"bash": bash, "zsh": zsh, "fish": fish}.get(given.word("shell"))
    if made is None:
        raise Usage(
            f"there is no completion for `{given.word('shell')}`",
            hint="write bash, zsh or fish: `source <(reactor completion bash)`",
        )
    print(made())


def heads() -> dict[str, list[str]]:
    """First words, each with the second words that may follow."""
    found: dict[str, list[str]] = {}
    for name in VERBS:
        head, _, second = name.partition(" ")
        found.setdefault(head, []).extend([second] if second else [])
    return found


def options(verb: Verb) -> list[str]:
    """All options of a verb."""
    return [f"--{option.name}" for option in (*verb.options, *GLOBAL)] + ["--help"]


def bash() -> str:
    """For bash; files are offered where no word fits."""
    cases = [f'    "{name}") words="{" ".join(options(verb))}" ;;' for name, verb in VERBS.items()]
    groups = [f'    "{head}") words="{" ".join(seconds)}" ;;' for head, seconds in heads().items() if seconds]
    return "\n".join(
        [
            "# reactor: completion for bash",
            "_reactor() {",
            '  local cur="${COMP_WORDS[COMP_CWORD]}" words="" named="${COMP_WORDS[*]:1:COMP_CWORD-1}"',
            '  local one="${COMP_WORDS[1]}" two="${COMP_WORDS[1]} ${COMP_WORDS[2]}"',
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f'    words="{" ".join(heads())}"',
            '  elif [ "$COMP_CWORD" -eq 2 ] && [ "${cur#-}" = "$cur" ]; then case "$one" in',
            *groups,
            "    esac",
            '  elif [ "${cur#-}" != "$cur" ]; then',
            '    case "$two" in',
            *cases,
            '    esac; [ -n "$words" ] || case "$one" in',
            *cases,
            "    esac",
            "  fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$cur"))',
            "}",
            "complete -o default -F _reactor reactor",
        ]
    )


def zsh() -> str:
    """For zsh, by its support for bash's."""
    return f"#compdef reactor\nautoload -U +X bashcompinit && bashcompinit\n{bash()}"


def fish() -> str:
    """For fish, with what each verb does."""
    lines = ["# reactor: completion for fish"]
    for name, verb in VERBS.items():
        head, _, second = name.partition(" ")
        seen = f"__fish_seen_subcommand_from {head}"
        if second:
            lines.append(f"complete -c reactor -n '__fish_use_subcommand' -a '{head}'")
            lines.append(f"complete -c reactor -f -n '{seen}' -a '{second}' -d '{_quoted(verb.summary)}'")
        else:
            lines.append(f"complete -c reactor -n '__fish_use_subcommand' -a '{head}' -d '{_quoted(verb.summary)}'")
        for option in verb.options:
            takes = " -r" if option.metavar else ""
            lines.append(f"complete -c reactor -n '{seen}' -l {option.name}{takes} -d '{_quoted(option.help)}'")
    for option in GLOBAL:
        takes = " -r" if option.metavar else ""
        lines.append(f"complete -c reactor -l {option.name}{takes} -d '{_quoted(option.help)}'")
    return "\n".join(dict.fromkeys(lines))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
