"""Where a trigger may be told to go on from."""

import re
from typing import Any

import pytest

from reactor.core.errors import ConfigError
from reactor.triggers.starts import check_resumed


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("kafka", "earliest"),
        ("kafka", {"offset": {"0": 4711}}),
        ("jetstream", "last"),
        ("jetstream", {"time": "2h"}),
        ("file", None),
        ("fake", "whatever a plugin takes"),
    ],
)
def test_what_a_kind_can_go_on_from_is_taken(kind: str, start: Any) -> None:
    check_resumed("orders", kind, start)


@pytest.mark.parametrize(
    ("kind", "start", "said"),
    [
        ("kafka", "erliest", 'found the text "erliest"'),
        ("kafka", "last", "`start` of a trigger of kind kafka cannot be `last`"),
        ("kafka", {"offset": 3}, "`start.offset` of kafka is not one"),
        ("jetstream", {"time": "soon"}, "`time`"),
        ("file", "earliest", "a trigger of kind file goes on where it stopped"),
        ("http", "latest", "a trigger of kind http goes on where it stopped"),
    ],
)
def test_what_it_cannot_go_on_from_is_refused_with_what_it_can(kind: str, start: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        check_resumed("orders", kind, start)
    assert (caught.value.path, bool(caught.value.hint)) == ("start", True)
