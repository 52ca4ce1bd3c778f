"""What can be checked of image, compose files and unit without starting them."""

import configparser
import fnmatch
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from reactor.core import telemetry
from reactor.tests.packaging.interpreters import named
from reactor.tests.tidy.tree import LEVELS, ROOT, files
from reactor.web.tokens import Tokens

DEPLOY = ROOT / "deploy"
COMPOSE = ("compose.yaml", "compose.full.yaml")


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile: word and rest, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def ignored(path: str) -> bool:
    """Does .dockerignore keep this path of the root out of the build? The last pattern that fits wins."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keeps = pattern.startswith("!")
        if fnmatch.fnmatch(path, pattern.lstrip("!")):
            out = not keeps
    return out


def test_the_image_does_not_run_as_root() -> None:
    last = max(place for place, (word, _) in enumerate(instructions()) if word == "FROM")
    users = [rest for word, rest in instructions()[last:] if word == "USER"]
    assert users == ["10001:10001"]


def test_the_image_is_built_from_named_versions_and_the_lock() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    versions = [re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", base) for base in bases]
    assert [each and each[1] in named() for each in versions] == [True], bases  # the suite is run on it
    assert any(word == "RUN" and "--require-hashes -r requirements.run.lock" in rest for word, rest in instructions())
    assert not [rest for word, rest in instructions() if word == "ADD"]


def test_the_image_starts_the_server_and_stops_in_good_order() -> None:
    last = {word: rest for word, rest in instructions() if word not in {"ENV", "RUN"}}
    assert (last["ENTRYPOINT"], last["CMD"], last["STOPSIGNAL"], last["EXPOSE"]) == (
        '["reactor"]',
        '["serve"]',
        "SIGTERM",
        "8484",
    )
    assert "/readyz" in last["HEALTHCHECK"]


def test_the_build_sees_the_package_and_nothing_else() -> None:
    seen = {each.split("/")[0] for each in files() if not ignored(each.split("/")[0])}
    package = {each.split("/")[0] for each in files() if each.split("/")[0] in LEVELS}
    built_from = {
        "pyproject.toml",
        "setup.py",
        "requirements.run.lock",
        "README.md",
        "LICENSE",
        "__init__.py",
        "py.typed",
    }
    assert seen - {"app.py"} == package | built_from


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_services_are_bounded(name: str) -> None:
    composed: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    services = composed["services"]
    reactor = services["reactor"]
    assert ((DEPLOY / reactor["build"]["context"]).resolve(), reactor["build"]["dockerfile"]) == (
        ROOT,
        "deploy/Dockerfile",
    )
    assert reactor["read_only"] is True
    assert reactor["cap_drop"] == ["ALL"]
    assert reactor["security_opt"] == ["no-new-privileges:true"]
    assert (reactor["init"], reactor["mem_limit"], reactor["pids_limit"]) == (True, "512m", 512)
    assert set(reactor["secrets"]) == set(composed["secrets"])
    assert all(set(how) == {"file"} for how in composed["secrets"].values())
    for service in services.values():
        assert re.fullmatch(r"[a-z/]+:\d[\d.]*", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed]
        mounted = {each.split(":")[0] for each in service.get("volumes", [])}
        assert {each for each in mounted if not each.startswith(".")} <= set(composed["volumes"])


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_gives_the_server_longer_than_it_drains(name: str) -> None:
    reactor = yaml.safe_load((DEPLOY / name).read_text())["services"]["reactor"]
    assert int(reactor["stop_grace_period"].rstrip("s")) > 30


def test_the_unit_is_sound(tmp_path: Path) -> None:
    text = (DEPLOY / "reactor.service").read_text()
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # the keys of a unit have capitals
    unit.read_string(text)
    service = unit["Service"]
    assert service["ExecStart"] == "/opt/reactor/bin/reactor --project /etc/reactor serve"
    assert (service["DynamicUser"], service["KillSignal"], service["TimeoutStopSec"]) == ("yes", "SIGTERM", "45")
    if shutil.which("systemd-analyze"):
        copy = tmp_path / "reactor.service"
        copy.write_text(
            text.replace("/opt/reactor/bin/reactor", "/bin/true").replace("file:/opt/reactor/README.md", "man:true")
        )
        exposed = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=30", str(copy)],
            capture_output=True,
            text=True,
        )
        assert exposed.returncode == 0, exposed.stdout[-200:]
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
        assert [line for line in done.stderr.splitlines() if "reactor.service" in line] == []


def metrics() -> set[str]:
    """The names of all metrics of our own."""
    return {value for name, value in vars(telemetry).items() if name.isupper() and isinstance(value, str)}


def test_alerts_are_about_metrics_that_there_are() -> None:
    rules = [r for g in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for r in g["rules"]]
    named = {name for rule in rules for name in re.findall(r"reactor_\w+", rule["expr"])}
    assert {name.removesuffix("_count") for name in named} <= metrics()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    assert [rule["alert"] for rule in rules if not rule["annotations"]["summary"]] == []


def test_the_operations_page_lists_every_metric() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"`(reactor_\w+)` \|", page)) == metrics()


def test_the_tokens_of_the_readme_are_read(tmp_path: Path) -> None:
    text = (DEPLOY / "README.md").read_text()
    (written,) = re.findall(r"printf '(\[.*?\])'", text)
    file = tmp_path / "tokens.json"
    file.write_text(written.replace("%s", "0123456789abcdef" * 3))
    tokens = Tokens.of(tmp_path, {"REACTOR_TOKENS_FILE": str(file)})
    found = tokens.find("0123456789abcdef" * 3)
    assert found is not None
    assert (found.name, found.scopes, found.token) == ("me", ("read", "emit", "operate"), "")
