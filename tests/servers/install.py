"""Installs what the tests start: PostgreSQL, NATS with JetStream, Apache Kafka, and pandoc for an example.

    python tests/servers/install.py [CACHE]

What is there already is left alone, so that a second call takes no time. A server named by REACTOR_TEST_POSTGRES,
REACTOR_TEST_NATS or REACTOR_TEST_KAFKA is not installed. Ends with status 1 when one is missing in the end.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from reactor.tests.servers import places

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>reactor.tests</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


class Missing(Exception):
    """A server cannot be installed here; the text says what to do."""


def run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a program; raises Missing with the end of its output."""
    print("  $", " ".join(command), flush=True)
    try:
        done = subprocess.run(
            command, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=900
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]}: {error}") from error
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed:\n" + (done.stdout + done.stderr)[-1500:])


def apt(*packages: str) -> None:
    """Install packages of the distribution; raises Missing when that is not possible here."""
    wanted = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise Missing(f"there is no apt-get here; install these yourself: {wanted}")
    prefix: list[str] = []
    if os.geteuid() != 0:
        prefix = ["sudo", "-n"]
        if shutil.which("sudo") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode:
            raise Missing(f"this needs root: sudo apt-get install {wanted}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = [*prefix, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    try:
        run(*install, env=quiet)
    except Missing:  # the lists may be old, or empty in a fresh image
        run(*prefix, "apt-get", "update", "-qq", env=quiet)
        run(*install, env=quiet)


def install_postgres() -> None:
    """PostgreSQL of the distribution."""
    if places.postgres_folder() is None:
        apt("postgresql")
    if places.postgres_folder() is None:
        raise Missing("initdb, postgres and pg_isready are not there after installing postgresql")


def install_nats() -> None:
    """A current nats-server, built by Go where Go is; else the distribution's."""
    wanted = places.cache() / f"nats-{places.NATS_VERSION}"
    if (wanted / "nats-server").exists():
        return
    go = places.go_program()
    if go is not None:
        try:
            module = f"github.com/nats-io/nats-server/v2@v{places.NATS_VERSION}"
            building = wanted.with_name(wanted.name + ".new")
            run(go, "install", "-trimpath", module, env={"GOBIN": str(building), "GOFLAGS": "-mod=mod"})
            shutil.rmtree(wanted, ignore_errors=True)
            building.rename(wanted)
            return
        except Missing as why:
            print(f"  building it with Go did not work, trying the distribution's: {why}", file=sys.stderr)
    if places.nats_program() is None:
        apt("nats-server")
    if places.nats_program() is None:
        raise Missing("nats-server is not there after installing it")


def installed_java() -> int:
    """The major version of the machine's Java; 0 without one."""
    java = shutil.which("java")
    if java is None:
        return 0
    return places.java_major(subprocess.run([java, "-version"], capture_output=True, text=True).stderr)


def install_kafka() -> None:
    """The jars of Apache Kafka, collected by Maven, and a Java to run them."""
    if places.kafka_ready():
        return
    java = shutil.which("java")
    if (
        java is None
        or places.java_major(subprocess.run([java, "-version"], capture_output=True, text=True).stderr) < 17
    ):
        apt("default-jre-headless")
    if (places.kafka_folder() / "complete").exists():
        return
    if shutil.which("mvn") is None:
        apt("maven")
    folder = places.kafka_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pom.xml").write_text(POM.format(version=places.KAFKA_VERSION))
    run("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs", cwd=folder)
    (folder / "complete").touch()


def install_pandoc() -> None:
    """The program that an example makes its report with."""
    if shutil.which("pandoc") is None:
        apt("pandoc")
    if shutil.which("pandoc") is None:
        raise Missing("pandoc is not there after installing it")


def main() -> int:
    """Install what is missing, one process at a time; 1 when something stays missing."""
    if len(sys.argv) > 1:
        os.environ["REACTOR_TEST_CACHE"] = sys.argv[1]
    places.cache().mkdir(parents=True, exist_ok=True)
    servers: dict[str, Callable[[], None]] = {
        "POSTGRES": install_postgres,
        "NATS": install_nats,
        "KAFKA": install_kafka,
        "PANDOC": install_pandoc,
    }
    failed = 0
    with open(places.cache() / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, install in servers.items():
            if os.environ.get(f"REACTOR_TEST_{name}"):
                continue
            began = time.monotonic()
            try:
                install()
            except Missing as why:
                failed = 1
                print(f"For the tests, {name.lower()}: {why}", file=sys.stderr)
                if name != "PANDOC":
                    print(f"  Or name one that runs: REACTOR_TEST_{name}=...", file=sys.stderr)
            else:
                took = time.monotonic() - began
                if took > 1:
                    print(f"For the tests, {name.lower()}: ready after {took:.0f} s")
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
