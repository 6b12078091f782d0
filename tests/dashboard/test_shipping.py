"""How the dashboard comes to where the hub serves it from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from dashboard import shipping
from dashboard.shipping import SHIPPED, ShippingError, fingerprint, ship
from tests.dashboard.checkout import builds, make_checkout, write_source
from tests.support.node import Node


@pytest.fixture
def root(tmp_path: Path, node: Node) -> Path:
    """A small checkout that nothing was built in, on a machine that has Node."""
    return make_checkout(tmp_path / "checkout")


def ship_in(root: Path, environ: Mapping[str, str] = {}) -> tuple[bool, list[str]]:
    """Whether the dashboard is there then, and what was said."""
    said: list[str] = []
    return ship(root, environ, said.append), said


def shipped(root: Path) -> str:
    """The script that the hub would serve."""
    return (root / SHIPPED / "assets" / "app-Xy12.js").read_text()


def test_it_is_built_and_put_where_the_hub_looks(root: Path) -> None:
    """Each step is said, since they take a while."""
    there, said = ship_in(root)
    assert there
    assert shipped(root) == "console.log('one');"
    assert (root / SHIPPED / "index.html").is_file()
    assert said[0].startswith("Building the dashboard")
    assert [line.split()[0] for line in said[1:]] == ["installing", "building", "done"]


def test_what_did_not_change_is_not_built_again(root: Path) -> None:
    """A second call does nothing and says nothing, also where tests or texts changed."""
    ship_in(root)
    dashboard = root / "dashboard"
    for name in ("README.md", "tests/app.test.ts", "dist/client.js", "node_modules/x/y.js", ".x/y"):
        path = dashboard / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new")
    assert ship_in(root) == (True, [])
    assert builds(root) == 1


@pytest.mark.parametrize("name", ["src/app.js", "src/distance.js", "vite.config.ts", "index.html"])
def test_a_change_of_the_sources_is_built(root: Path, name: str) -> None:
    """Of any file that could be one: a file more, another name, another content."""
    ship_in(root)
    (root / "dashboard" / name).write_text("console.log('two');")
    before = fingerprint(root)
    assert ship_in(root)[0]
    assert builds(root) == 2
    if name == "src/app.js":
        assert shipped(root) == "console.log('two');"
    (root / "dashboard" / name).rename(root / "dashboard" / "src" / "renamed.js")
    assert fingerprint(root) != before


def test_files_of_an_older_build_go(root: Path) -> None:
    """Only what was built from these sources is served."""
    ship_in(root)
    old = root / SHIPPED / "assets" / "app-Old1.js"
    old.write_text("old")
    write_source(root, "console.log('two');")
    ship_in(root)
    assert not old.exists()


def test_a_build_that_fails_is_told_in_one_line(root: Path) -> None:
    """And leaves nothing of older sources: the plain page stands in."""
    ship_in(root)
    write_source(root, "broken")
    there, said = ship_in(root)
    assert not there
    assert said[-1] == (
        "the dashboard was not built: npm run build:app failed: error: src/app.js is broken"
        " -- the hub shows its plain page instead"
    )
    assert not (root / SHIPPED).exists()
    write_source(root, "console.log('mended');")
    assert ship_in(root)[0]


def test_a_checkout_without_the_script_says_so(root: Path) -> None:
    """What npm complains of is told; the line used to end where its reason should stand."""
    package = root / "dashboard" / "package.json"
    package.write_text(package.read_text().replace("build:app", "build:other"))
    there, said = ship_in(root)
    assert not there
    assert 'failed: npm error Missing script: "build:app" -- the hub' in said[-1]


def test_a_build_of_nothing_is_none(root: Path) -> None:
    """Without its page there is no dashboard, whatever the script says."""
    write_source(root, "headless")
    there, said = ship_in(root)
    assert not there
    assert "made no dist-app/index.html" in said[-1]


def test_without_node_it_is_told_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine that has neither Node nor an index of packages goes on without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    there, said = ship_in(root)
    assert not there
    assert said[-1].startswith("the dashboard was not built: expected Node 20.19, 22.12 or 24")
    assert "\n" not in said[-1]


def test_npm_that_cannot_install_is_told(root: Path) -> None:
    """As where the network is away."""
    (root / "dashboard" / "package-lock.json").write_text("no lock")
    there, said = ship_in(root)
    assert not there
    assert "npm ci failed: npm error" in said[-1]


def test_it_can_be_required(root: Path) -> None:
    """Then what would be one line is an error; what is there already is no matter."""
    environ = {shipping.VARIABLE: "require"}
    assert ship_in(root, environ)[0]
    assert ship_in(root, environ) == (True, [])
    write_source(root, "broken")
    with pytest.raises(ShippingError, match=r"src/app\.js is broken"):
        ship_in(root, environ)


def test_it_can_be_skipped(root: Path) -> None:
    """Nothing is built then, and what is there stays."""
    environ = {shipping.VARIABLE: "skip"}
    assert ship_in(root, environ) == (False, [])
    ship_in(root)
    write_source(root, "console.log('two');")
    assert ship_in(root, environ) == (True, [])
    assert builds(root) == 1


def test_a_misspelled_mode_is_an_error(root: Path) -> None:
    """Nobody is left without what they meant to require."""
    with pytest.raises(ShippingError, match="expected require, skip or nothing, got 'required'"):
        ship_in(root, {shipping.VARIABLE: "required"})


def test_the_command_says_what_went_wrong(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its status is an error's only where the dashboard is required."""
    monkeypatch.setattr(shipping, "ROOT", root)
    write_source(root, "broken")
    monkeypatch.setenv(shipping.VARIABLE, "")
    assert shipping.main() == 0
    monkeypatch.setenv(shipping.VARIABLE, "require")
    assert shipping.main() == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("Error: the dashboard was not")
