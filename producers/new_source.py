"""`tapecast new-source`: a project with a source of one's own, its entry point and a test."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, version
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Any

import click

from producers.sources.base import ENTRY_POINT_GROUP

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


class SourceName(click.ParamType[str, str]):
    """A name that can be a channel's part, a package and a sub-command, and is not taken."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value)
        if not _NAME.fullmatch(name) or iskeyword(name):
            self.fail(f"expected lower case words with '-' between, got {name!r}", param, ctx)
        if name in entry_points(group=ENTRY_POINT_GROUP).names:
            self.fail(f"a source {name} is installed already", param, ctx)
        if find_spec(name.replace("-", "_")) is not None:
            self.fail(f"there is a Python package {name} already", param, ctx)
        return name


@click.command("new-source", short_help="Begin a source of your own.")
@click.argument("name", type=SourceName())
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where the project's folder is made. [default: here]",
)
def new_source(name: str, into: Path) -> None:
    """Write a project with a source, its entry point and a test that passes.

    Installed, it is a sub-command of `tapecast produce` like those that come along.

    \b
    Examples:
      tapecast new-source my-desk
      tapecast new-source my-desk --into ~/src
    """
    project = into / name
    try:
        project.mkdir()
    except FileExistsError:
        raise click.UsageError(f"{project} exists already: choose another name or --into") from None
    package = name.replace("-", "_")
    values = {
        "name": name,
        "package": package,
        "class_name": "".join(word.capitalize() for word in name.split("-")) + "Source",
        "version": version("tapecast"),
    }
    for template, place in (
        ("pyproject.toml", "pyproject.toml"),
        ("README.md", "README.md"),
        ("__init__.py", f"{package}/__init__.py"),
        ("source.py", f"{package}/source.py"),
        ("test_source.py", "tests/test_source.py"),
    ):
        text = (files("producers") / "template" / f"{template}.tmpl").read_text(encoding="utf-8")
        path = project / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(Template(text).substitute(values), encoding="utf-8")
    click.echo(
        f"{project} is a project with a source and a test. Next:\n\n"
        f"  cd {project}\n"
        "  pip install -e '.[test]'\n"
        "  pytest\n"
        f"  tapecast produce {name} --help"
    )
