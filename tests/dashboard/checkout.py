"""A small checkout: this project's Python, and a dashboard that needs no package to be built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dashboard.node import ROOT

BUILD = """
import { appendFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
appendFileSync("../builds", ".");
mkdirSync("dist-app/assets", { recursive: true });
cpSync("src/app.js", "dist-app/assets/app-Xy12.js");
if (!readFileSync("src/app.js", "utf8").includes("headless")) {
  const script = '<script type="module" src="/assets/app-Xy12.js"></script>';
  writeFileSync("dist-app/index.html", "<!doctype html>" + script);
}
if (readFileSync("src/app.js", "utf8").includes("broken")) {
  console.log("> building\\nerror: src/app.js is broken\\nmore of it");
  process.exit(1);
}
"""


def make_checkout(root: Path, *, package: bool = False) -> Path:
    """Make one at `root`, and return that; with what a wheel is built from where `package`."""
    dashboard = root / "dashboard"
    (dashboard / "src").mkdir(parents=True)
    write_source(root, "console.log('one');")
    (dashboard / "build.mjs").write_text(BUILD)
    described = {"name": "small", "version": "1.0.0", "private": True}
    scripts = {"scripts": {"build:app": "node build.mjs"}}
    (dashboard / "package.json").write_text(json.dumps({**described, **scripts}))
    lock = {**described, "lockfileVersion": 3, "requires": True, "packages": {"": described}}
    (dashboard / "package-lock.json").write_text(json.dumps(lock))
    shutil.copytree(ROOT / "requirements", root / "requirements")
    if package:
        for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
            shutil.copy(ROOT / name, root / name)
        for path in (ROOT / "dashboard").glob("*.py"):
            shutil.copy(path, dashboard / path.name)
        for folder in ("hub", "producers"):
            ignored = shutil.ignore_patterns("__pycache__", "dashboard")
            shutil.copytree(ROOT / folder, root / folder, ignore=ignored)
    return root


def write_source(root: Path, text: str) -> None:
    """Change what the dashboard is built from. "broken" in it makes the build fail."""
    (root / "dashboard" / "src" / "app.js").write_text(text)


def builds(root: Path) -> int:
    """How often it was built."""
    path = root / "builds"
    return len(path.read_text()) if path.exists() else 0
