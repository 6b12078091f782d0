"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, distribution
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from packaging.requirements import Requirement

import hub

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENTRY_POINTS = distribution("tapecast").entry_points
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

# Longer than this, a module is more than one idea.
MODULE_LINES = 400


def tracked() -> list[Path]:
    """Every file in the repository that git knows."""
    # A checkout may belong to another user than the one who runs the tests.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def modules(*folders: str) -> list[Path]:
    """Every Python file below these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    """A file's name as the repository knows it, which is also a test's id."""
    return path.relative_to(ROOT).as_posix()


def entry_name(entry: EntryPoint) -> str:
    """An entry point's name, which is also a test's id."""
    return entry.name


def imports(path: Path) -> set[str]:
    """The modules that a file imports, by their whole names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path} has a relative import"
            names.add(node.module)
    return names


def pins(lock: Path) -> dict[str, Requirement]:
    """What a lock installs: each package, pinned."""
    lines = re.sub(r" \\\n +--hash=\S+", "", lock.read_text()).splitlines()
    found = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    return {requirement.name: requirement for requirement in found}


# What is committed


def test_no_file_names_a_registry() -> None:
    """A clone installs from whatever registry its machine is set to."""
    registry = re.compile(
        rb"pypi\.org/|pythonhosted\.org|registry\.(npmjs|yarnpkg)\.|\"resolved\":"
    )
    assert [relative(path) for path in tracked() if registry.search(path.read_bytes())] == []


def test_no_lock_of_a_tool_that_writes_registries() -> None:
    """The lock is requirements/, which names packages, versions and hashes alone."""
    others = {"uv.lock", "poetry.lock", "Pipfile.lock", "yarn.lock", "pnpm-lock.yaml"}
    assert [relative(path) for path in tracked() if path.name in others] == []


@pytest.mark.parametrize("path", modules("hub", "producers"), ids=relative)
def test_module_is_one_idea(path: Path) -> None:
    """No module outgrows what a reader holds in mind."""
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", modules("tests"), ids=relative)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Each test has a docstring: a sentence of behaviour."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]
    assert [node.name for node in functions if ast.get_docstring(node) is None] == []


@pytest.mark.parametrize("path", modules("hub/protocol", "hub/core"), ids=relative)
def test_protocol_and_core_take_little(path: Path) -> None:
    """Protocol takes the standard library and msgspec; core takes the protocol besides."""
    allowed = {*sys.stdlib_module_names, "msgspec"}
    foreign = {name for name in imports(path) if name.split(".")[0] not in allowed}
    own = ("hub.protocol",) if "protocol" in path.parts else ("hub.protocol", "hub.core")
    assert {name for name in foreign if not name.startswith(own)} == set()


# What is installed


def test_version_stands_in_one_place() -> None:
    """The distribution's version is read from hub/__init__.py, and nothing repeats it."""
    literal = f'"{hub.__version__}"'
    files = [*modules("hub", "producers"), ROOT / "pyproject.toml"]
    assert [relative(path) for path in files if literal in path.read_text()] == ["hub/__init__.py"]
    assert distribution("tapecast").version == hub.__version__


@pytest.mark.parametrize("entry", ENTRY_POINTS.select(group="tapecast.commands"), ids=entry_name)
def test_command_is_found(entry: EntryPoint) -> None:
    """Each sub-command is a click command under its own name, with examples in its help."""
    command = entry.load()
    assert isinstance(command, click.Command)
    assert command.name == entry.name
    with click.Context(command, info_name=f"tapecast {entry.name}") as context:
        assert "Example" in command.get_help(context)


@pytest.mark.parametrize("entry", ENTRY_POINTS.select(group="tapecast.sources"), ids=entry_name)
def test_source_is_found(entry: EntryPoint) -> None:
    """Each source is a class at its place."""
    assert isinstance(entry.load(), type)


def test_tapecast_lists_every_command() -> None:
    """`tapecast --help` names each sub-command that is installed."""
    tapecast = Path(sys.executable).parent / "tapecast"
    shown = subprocess.run([tapecast, "--help"], check=True, capture_output=True, text=True).stdout
    for entry in ENTRY_POINTS.select(group="tapecast.commands"):
        assert re.search(rf"^  {entry.name}\b", shown, re.MULTILINE), entry.name


# The lock


@pytest.mark.parametrize("lock", LOCKS, ids=relative)
def test_lock_pins_with_hashes(lock: Path) -> None:
    """Every line of a lock is one version, and has hashes to hold it to."""
    for requirement in pins(lock).values():
        assert [spec.operator for spec in requirement.specifier] == ["=="], requirement
    blocks = re.split(r"\n(?=[a-z])", lock.read_text())
    assert [block for block in blocks[1:] if "--hash=sha256:" not in block] == []


def test_locks_agree() -> None:
    """A package has the same version in every lock, so that one install never undoes another."""
    # What few machines need has a lock of its own. ccxt's is for an environment of its own: it pins
    # whatever is beneath it.
    whole: dict[str, Requirement] = {}
    for name in ("dev", "node", "parquet"):
        whole |= pins(ROOT / "requirements" / f"{name}.txt")
    for lock in (each for each in LOCKS if each.stem != "ccxt"):
        for name, requirement in pins(lock).items():
            assert requirement.specifier == whole[name].specifier, (name, lock)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime", PYPROJECT["project"]["dependencies"]),
        ("build", PYPROJECT["build-system"]["requires"]),
        ("build", PYPROJECT["dependency-groups"]["build"]),
        ("node", PYPROJECT["dependency-groups"]["node"]),
        ("parquet", PYPROJECT["dependency-groups"]["parquet"]),
        ("parquet", PYPROJECT["project"]["optional-dependencies"]["parquet"]),
        ("dev", [line for line in PYPROJECT["dependency-groups"]["dev"] if isinstance(line, str)]),
        ("dev", PYPROJECT["project"]["optional-dependencies"]["freqtrade"]),
        ("dev", PYPROJECT["project"]["optional-dependencies"]["alerts"]),
        ("dev", PYPROJECT["project"]["optional-dependencies"]["web-push"]),
        ("ccxt", PYPROJECT["project"]["dependencies"]),
        ("ccxt", PYPROJECT["project"]["optional-dependencies"]["ccxt"]),
    ],
)
def test_lock_follows_pyproject(lock: str, wanted: list[str]) -> None:
    """What pyproject.toml asks for is in the lock, at a version within its range."""
    locked = pins(ROOT / "requirements" / f"{lock}.txt")
    for requirement in map(Requirement, wanted):
        (pin,) = locked[requirement.name.lower()].specifier
        assert requirement.specifier.contains(pin.version), requirement


# make and CI


def test_make_lists_every_target() -> None:
    """`make` alone says what there is to make."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    # The tests are run by make themselves, and a make below make says more.
    command = ["make", "--no-print-directory"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert {line.split()[1] for line in shown.splitlines()} == set(phony[1].split())


def test_demo_shows_how_the_dashboard_is_built() -> None:
    """`make demo` builds it before it starts anything, and pip is kept from doing so in silence."""
    command = ["make", "--no-print-directory", "--dry-run", "--always-make", "demo"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    install, build, demo = (
        shown.index(step)
        for step in ("TAPECAST_DASHBOARD=skip .venv/bin/pip ", "-m dashboard.shipping", "cast demo")
    )
    assert install < build < demo


def test_ci_runs_the_tests_with_everything_required() -> None:
    """CI's script is a sound program that ends as `make test`, with no test skipped."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    *_, require, make = script.read_text().splitlines()
    assert require == "export TAPECAST_REQUIRE_ALL=1"
    assert make == "exec make test"


# The image and the compose file


def test_image_runs_as_nobody_in_particular() -> None:
    """The image's last stage drops root, checks its health and starts a hub."""
    last_stage = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]
    user = re.search(r"^USER (\S+)$", last_stage, re.MULTILINE)
    assert user
    assert user[1] not in {"root", "0"}
    assert re.search(r"^HEALTHCHECK .*\\\n +CMD \[.*/healthz", last_stage, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", last_stage, re.MULTILINE)
    assert command
    assert json.loads(command[1])[0] == "serve"


def test_image_is_built_from_what_docker_is_sent() -> None:
    """Each file that the Dockerfile copies exists and passes .dockerignore."""
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    sources = [source.rstrip("/") for line in copies for source in line.split()]
    assert sorted(sources) == sorted(sent)
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_complete(name: str) -> None:
    """A service has an image, a health check or a reason against one, and a restart policy."""
    service = SERVICES[name]
    assert isinstance(service["image"], str)
    assert service["restart"] == "unless-stopped"
    health = service["healthcheck"]
    if health.get("disable") is not True:
        assert health["test"][0] in {"CMD", "CMD-SHELL"}
        for timing in ("interval", "timeout"):
            assert re.fullmatch(r"\d+s", health[timing])
        assert isinstance(health["retries"], int)
    if "build" in service:
        assert (ROOT / service["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_service_refers_to_what_is_there(name: str) -> None:
    """What a service waits for, mounts and reads is defined in the same file."""
    service = SERVICES[name]
    for other, wait in service.get("depends_on", {}).items():
        assert wait == {"condition": "service_healthy"}
        assert SERVICES[other]["healthcheck"].get("disable") is not True
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert (ROOT / COMPOSE["configs"][config["source"]]["file"]).is_file()


@pytest.mark.parametrize("name", ["hub", "producers"])
def test_service_calls_a_command_of_tapecast(name: str) -> None:
    """The services of this image run sub-commands that exist."""
    assert SERVICES[name]["command"][0] in ENTRY_POINTS.select(group="tapecast.commands").names


def test_hub_can_be_scaled() -> None:
    """`--scale hub=3` works: no fixed name, no port of the host, one secret from outside."""
    hub_service = SERVICES["hub"]
    assert "container_name" not in hub_service
    assert "ports" not in hub_service
    assert hub_service["environment"]["TAPECAST_JWT_SECRET"].startswith("${TAPECAST_JWT_SECRET:?")
    (port,) = hub_service["expose"]
    assert f" hub:{port} " in (ROOT / "deploy" / "haproxy.cfg").read_text()


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
def test_proxy_takes_its_configuration() -> None:
    """HAProxy finds no fault in deploy/haproxy.cfg as the compose file uses it; the tests of
    deploy/replicas.py run it the other way."""
    command = ["haproxy", "-c", "-f", "deploy/haproxy.cfg"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def has_compose() -> bool:
    """Whether this machine's Docker has the compose plugin."""
    docker = shutil.which("docker")
    return docker is not None and (
        subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0
    )


@pytest.mark.optional("CI installs no Docker")
@pytest.mark.skipif(not has_compose(), reason="needs docker compose")
def test_compose_takes_its_file() -> None:
    """Docker's own parser takes docker-compose.yml, and asks for the secret where it is missing."""
    command = ["docker", "compose", "config", "--quiet"]
    environment = {key: value for key, value in os.environ.items() if "TAPECAST" not in key}
    refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "TAPECAST_JWT_SECRET" in refused.stderr
    environment["TAPECAST_JWT_SECRET"] = "x" * 32
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
