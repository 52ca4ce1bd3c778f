"""Random patterns, and events made to satisfy them, nearly: fields are left out, spread over arrays, replaced."""

from __future__ import annotations

from random import Random
from typing import Any

from reactor.language.patterns import pattern_errors

NAMES = ["a", "b", "c", "a.b", "type", 'q"x', "é"]
WORDS = [
    "",
    "a",
    "ab",
    "abc",
    "abcd",
    "xabcx",
    "ABC",
    "Straße",
    "STRASSE",
    "10.0.0.1",
    "10.0.1.9",
    "::1",
    "a*b",
    "a\\b",
    "5",
    "1",
]
NUMBERS = [0, 1, 5, 5.0, -3, 2.5, -0.0, 2**53, 2**53 + 1, 1e300, 10, 7.25]
NETWORKS = ["10.0.0.0/8", "10.0.0.77/24", "10.0.0.1/32", "0.0.0.0/0", "::/0", "::1/128", "10.0.1.0/23"]
WILDCARDS = ["a*", "*c", "*bc*", "a*d", "*", "abc", "x*b*x", "a\\*b", "a\\\\*", "*abc*", "*b*", "A*", "x*bcx"]


class Maker:
    """Draws from one generator of chance."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.names = self.random.sample(NAMES, self.random.randint(2, len(NAMES)))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def some(self, choices: list[Any], most: int = 3) -> list[Any]:
        return [self.random.choice(choices) for _ in range(self.random.randint(1, most))]

    def scalar(self) -> Any:
        return self.random.choice([*WORDS, *NUMBERS, True, False, None])

    def pattern(self) -> dict[str, Any]:
        """A pattern of any shape, but for those whose `$or` multiply to more branches than are allowed."""
        while True:
            drawn = self._members(0)
            if not any("PATTERN_BRANCHES_MAX" in str(error) for error in pattern_errors(drawn)):
                return drawn

    def _members(self, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name in self.random.sample(self.names, self.random.randint(1, 2)):
            deeper = depth < 2 and self.chance(0.5)
            fields[name] = self._members(depth + 1) if deeper else self.leaf()
        if self.chance(0.15):
            fields["$or"] = [self._members(depth + 1) for _ in range(self.random.randint(2, 3))]
        return fields

    def leaf(self) -> list[Any]:
        return [
            self.scalar() if self.chance(0.4) else self.operator() for _ in range(self.random.choice([1, 1, 1, 2, 3]))
        ]

    def operator(self) -> dict[str, Any]:
        random = self.random
        kind = random.choice(
            ["prefix", "suffix", "equals-ignore-case", "wildcard", "numeric", "exists", "cidr", "anything-but"]
        )
        if kind == "exists":
            return {kind: self.chance(0.6)}
        if kind == "cidr":
            return {kind: random.choice(NETWORKS)}
        if kind == "wildcard":
            return {kind: random.choice(WILDCARDS)}
        if kind == "numeric":
            low, high = sorted(random.sample([-4, -0.0, 1, 2.5, 5, 7, 10, 2**53], 2))
            one = [random.choice(["=", "<", "<=", ">", ">="]), random.choice(NUMBERS)]
            return {kind: random.choice([one, [random.choice([">", ">="]), low, random.choice(["<", "<="]), high]])}
        if kind == "anything-but":
            inner = random.choice(["prefix", "suffix", "equals-ignore-case", "wildcard", "", ""])
            if inner:
                texts = self.some(WILDCARDS if inner == "wildcard" else WORDS[1:])
                return {kind: {inner: texts if self.chance(0.5) else texts[0]}}
            values = self.some(WORDS if self.chance(0.5) else NUMBERS)
            return {kind: values if self.chance(0.7) else values[0]}
        word = random.choice(WORDS)
        return {kind: {"equals-ignore-case": word} if kind != "equals-ignore-case" and self.chance(0.3) else word}

    def event(self, patterns: list[dict[str, Any]]) -> dict[str, Any]:
        event: dict[str, Any] = {}
        for pattern in self.some(patterns, 2):
            self.satisfy(pattern, event)
        return {name: self.spread(value) for name, value in event.items()}

    def satisfy(self, pattern: dict[str, Any], event: dict[str, Any]) -> None:
        for name, value in pattern.items():
            if name == "$or":
                self.satisfy(self.random.choice(value), event)
            elif self.chance(0.07):
                event[name] = self.scalar()
            elif isinstance(value, dict):
                inside = event.setdefault(name, {})
                if isinstance(inside, dict):
                    self.satisfy(value, inside)
            elif not self.chance(0.07):
                event[name] = self.taken(self.random.choice(value))

    def taken(self, alternative: Any) -> Any:
        """A value that an alternative may take."""
        if isinstance(alternative, dict) and "numeric" in alternative:
            return self.random.choice([*NUMBERS, alternative["numeric"][1], alternative["numeric"][-1]])
        return alternative if not isinstance(alternative, dict) else self.random.choice([*WORDS, self.scalar()])

    def spread(self, value: Any, depth: int = 0) -> Any:
        """The same value, or arrays in which it is hidden or torn apart."""
        if isinstance(value, dict):
            value = {name: self.spread(inside, depth + 1) for name, inside in value.items()}
            if self.chance(0.25):
                torn = [{}, {}]
                for name, inside in value.items():
                    torn[self.chance(0.5)][name] = inside
                return self.random.choice(
                    [[value], [value, {}], torn, [torn], [[torn[0]], torn[1:]], [*torn, value], [torn, 5]]
                )
            return value
        if self.chance(0.2):
            return self.random.choice(
                [[value], [self.scalar(), value], [[value], self.scalar()], [], [{}], {}, [[], [value, {}]]]
            )
        return value
