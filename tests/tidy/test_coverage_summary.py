"""The floor of coverage is that of the whole and of each core part."""

from typing import Any

from reactor.tests.coverage_summary import judged


def counted(lines: int, branches: int, of_lines: int = 100, of_branches: int = 100) -> dict[str, Any]:
    return {
        "covered_lines": lines,
        "num_statements": of_lines,
        "covered_branches": branches,
        "num_branches": of_branches,
    }


GOOD = {"engine/run.py": counted(95, 90), "router/a/b.py": counted(96, 90), "store/group.py": counted(100, 90)}


def test_all_above() -> None:
    lines, low = judged({**GOOD, "core/engine/x.py": counted(0, 0, 10, 10)}, 90)
    assert low == []
    assert lines == [
        "Coverage of the whole: 90.5 % of 310 statements and 310 branches together; branches alone 87.1 %.",
        "Coverage of engine: 92.5 % of 100 statements and 100 branches together; branches alone 90.0 %.",
        "Coverage of router: 93.0 % of 100 statements and 100 branches together; branches alone 90.0 %.",
        "Coverage of store: 95.0 % of 100 statements and 100 branches together; branches alone 90.0 %.",
    ]


def test_a_core_part_that_is_not_above_is_named_though_the_whole_is() -> None:
    files = {**GOOD, "store/group.py": counted(90, 90), "web/api.py": counted(1000, 1000, 1000, 1000)}
    assert judged(files, 90)[1] == ["store"]


def test_the_whole_is_judged_beside_its_parts() -> None:
    assert judged({**GOOD, "web/api.py": counted(0, 0)}, 90)[1] == ["the whole"]


def test_a_part_that_was_not_measured_is_not_covered() -> None:
    assert judged({"engine/run.py": counted(95, 90), "router/a.py": counted(95, 90)}, 90)[1] == ["store"]
