"""The depth of JSON data: by its text at once, by its value exactly; the text never says less than there is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reactor.core.depth import is_deep, may_be_deep


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


TEXT = st.text(st.sampled_from('a[]{}"\\,: é'), max_size=6)
VALUES = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 6))
def test_is_exact_by_the_value_and_safe_by_the_text(value: Any, depth_max: int) -> None:
    assert is_deep(value, depth_max) == (depth(value) > depth_max)
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        if depth(value) > depth_max:
            assert may_be_deep(text.encode(), depth_max)


@pytest.mark.parametrize("around", ["{}", '{{"k":{}}}', '["a\\\\",{}]', '["a\\"b",{}]'])
def test_the_text_decides_where_no_string_has_a_bracket(around: str) -> None:
    for levels in (1, 63, 64, 65, 66):
        text = around.replace("{{", "<").replace("}}", ">").replace("{}", "[" * levels + "]" * levels)
        text = text.replace("<", "{").replace(">", "}")
        assert may_be_deep(text.encode()) == (depth(json.loads(text)) > 64)


def test_closing_brackets_in_strings_hide_nothing() -> None:
    text = '["]",' * 100 + "1" + ',"["]' * 100
    assert depth(json.loads(text)) == 100
    assert may_be_deep(text.encode())
    assert is_deep(json.loads(text))
