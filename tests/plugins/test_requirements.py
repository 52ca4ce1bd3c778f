"""Environment markers of a plugin's requirements, as the Packaging User Guide has them."""

import pytest

from reactor.plugins.requirements import holds

LAPTOP = {
    "os_name": "posix",
    "sys_platform": "darwin",
    "platform_machine": "arm64",
    "platform_release": "24.1.0-x",
    "python_version": "3.11",
    "python_full_version": "3.11.7rc1",
    "extra": "",
}


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("", True),
        ("python_version < '3.9'", False),  # as numbers: as texts it would hold
        ('python_version >= "3.9"', True),
        ("'3.9' <= python_version", True),
        ("python_version == '3.11.*'", True),
        ("python_version ~= '3.10'", True),
        ("python_full_version < '3.11.7'", False),
        ("sys_platform == 'linux'", False),
        ("sys_platform != 'linux' and os_name == 'posix'", True),
        ("extra == 'test'", False),
        ("extra == 'test' or python_version > '3'", True),
        ("sys_platform == 'win32' or os_name == 'posix' and platform_machine == 'x86_64'", False),
        ("(sys_platform == 'win32' or os_name == 'posix') and platform_machine == 'arm64'", True),
        ("'arm' in platform_machine", True),
        ("platform_machine not in 'x86_64 i686'", True),
        ("platform_machine not in 'arm64 arm'", False),
        ("platform_release >= '20'", True),
        ("sys_platform >= 'a'", True),
    ],
)
def test_markers(marker: str, expected: bool) -> None:
    assert holds(marker, LAPTOP) is expected


@pytest.mark.parametrize(
    "marker",
    [
        "x",
        "weather == 'fine'",
        "python_version",
        "python_version <",
        "(os_name == 'nt'",
        "os_name is 'nt'",
        "&",
        "'a' 'b'",
    ],
)
def test_one_that_cannot_be_read_takes_nothing_away(marker: str) -> None:
    assert holds(marker, LAPTOP)
