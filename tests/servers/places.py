"""Where the programs of the test servers are: on this machine, or in the cache that `make setup-servers` fills."""

import os
import re
import shutil
from pathlib import Path

KAFKA_VERSION = "4.0.0"
NATS_VERSION = "2.15.2"


def cache() -> Path:
    """The folder kept between runs; REACTOR_TEST_CACHE moves it."""
    chosen = os.environ.get("REACTOR_TEST_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "reactor-tests"


def postgres_folder() -> Path | None:
    """The folder with initdb, postgres and pg_isready: the newest of the distribution's, else the one on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    for folder in found:
        if all((folder / program).exists() for program in ("initdb", "postgres", "pg_isready")):
            return folder
    return None


def nats_program() -> Path | None:
    """The nats-server of the cache, else the machine's."""
    cached = cache() / f"nats-{NATS_VERSION}" / "nats-server"
    if cached.exists():
        return cached
    on_path = shutil.which("nats-server")
    return Path(on_path) if on_path else None


def go_program() -> str | None:
    """The Go tool, also where it is usually unpacked."""
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


def kafka_folder() -> Path:
    """The folder with the jars of Apache Kafka; complete when it holds the file `complete`."""
    return cache() / f"kafka-{KAFKA_VERSION}"


def kafka_ready() -> bool:
    """Are all jars there, and a Java to run them?"""
    return (kafka_folder() / "complete").exists() and shutil.which("java") is not None


def java_major(version_text: str) -> int:
    """The major version in what `java -version` printed; 0 when there is none."""
    found = re.search(r'version "(\d+)', version_text)
    return int(found.group(1)) if found else 0
