"""`tapecast demo`: everything on this machine, in one process tree."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import secrets
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from hub.cli.leash import Leash
from hub.cli.target import Target, leave_target
from hub.protocol.addresses import DEFAULT_HOST, DEFAULT_PORT, private_folder

READY_SECONDS = 60.0
LOOK_SECONDS = 0.1
"""Between two looks at whether the hub is ready, and at whether all children live."""
PROBE_SECONDS = 2.0
TOKEN_SECONDS = 30 * 86_400
LAST_LINES = 15
RULES = """\
[sources.alerts.rules.drawdown]
watch = "drawdown"
channel = "portfolio"
window = "hour"
limit = 1
clear = 0.5

[sources.alerts.rules.silent]
watch = "staleness"
channel = "portfolio"
seconds = 10
severity = "critical"
"""
"""What the demo's alerts watch the paper account for."""


class DemoError(Exception):
    """A part of the demo failed; the text says which, and how it looked from inside."""


class Child(NamedTuple):
    """A running part of the demo."""

    name: str
    leash: Leash
    log: Path


@click.command(short_help="Run everything on this machine, to look at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"The page's port. [default: {DEFAULT_PORT}, or a free one where that is taken]",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep what is published in this folder, for the next demo.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in your browser.")
def demo(port: int | None, data: Path | None, open_page: bool) -> None:
    """Run a Valkey, a hub, a paper-trading agent and rules that watch it, until Ctrl-C.

    It prints a URL that is logged in already, a token, and a line for a second terminal. Nothing
    of it outlives this process, however that ends.

    \b
    Examples:
      tapecast demo
      tapecast demo --port 9000 --open
      tapecast demo --data ./demo-data
    """
    from hub.cli.embedded import EmbeddedError

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: ended.set())
    try:
        _run(_choose_port(port), data, open_page, ended)
    except (EmbeddedError, DemoError) as error:
        raise click.ClickException(str(error)) from None


def _run(port: int, data: Path | None, open_page: bool, ended: threading.Event) -> None:
    from hub.cli.embedded import embedded_server
    from hub.server.auth import mint_token

    url = f"http://{DEFAULT_HOST}:{port}"
    secret = secrets.token_urlsafe(48)
    token = mint_token(
        secret,
        "demo",
        read=["*"],
        publish=["*"],
        command=["*"],
        ttl_seconds=TOKEN_SECONDS,
        now=time.time(),
    )
    folder = Path(private_folder(os.environ, os.getuid()))
    with contextlib.ExitStack() as stack:
        click.echo("Starting Valkey, a hub and a paper-trading agent ...", err=True)
        redis_url = stack.enter_context(embedded_server(os.environ, data))
        environ = _environment(redis_url)
        serve = ("serve", "--host", DEFAULT_HOST, "--port", str(port))
        hub_environ = {**environ, "TAPECAST_JWT_SECRET": secret}
        children = [stack.enter_context(_child("hub", serve, hub_environ, folder))]
        _wait_until_ready(port, children, ended)
        for name, arguments in _producers(folder):
            children.append(stack.enter_context(_child(name, arguments, environ, folder)))
        left = leave_target(Target(url, token, os.getpid()), os.environ)
        stack.callback(left.unlink, missing_ok=True)
        if not ended.is_set():
            _announce(url, token, children)
            if open_page:
                click.launch(_page(url, token))
        while not ended.wait(LOOK_SECONDS):
            _check(children)
        click.echo("Ending ...", err=True)
        # All at once; the stack then waits for each.
        for child in children:
            child.leash.let_go()


def _producers(folder: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The producers, by name, and the command of each."""
    rules = folder / "alerts.toml"
    rules.write_text(RULES, encoding="utf-8")
    yield "paper", ("produce", "paper", "--quiet")
    yield "alerts", ("produce", "alerts", "--config", str(rules), "--quiet")


def _environment(redis_url: str) -> dict[str, str]:
    """This process's environment, without settings that were meant for another hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAPECAST_")}
    # Whoever presses Ctrl-C here watches alone, and shall not wait for a staged drain.
    drain = {"TAPECAST_DRAIN_SECONDS": "1", "TAPECAST_DRAIN_SPREAD_SECONDS": "0"}
    return {**kept, **drain, "TAPECAST_REDIS_URL": redis_url}


@contextlib.contextmanager
def _child(
    name: str, arguments: Sequence[str], environ: Mapping[str, str], folder: Path
) -> Iterator[Child]:
    """Run a command of tapecast for the length of the block; its output goes to a file."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        leash = Leash([sys.executable, "-m", "hub.cli", *arguments], env=environ, output=output)
    try:
        yield Child(name, leash, log)
    finally:
        leash.stop()


def _wait_until_ready(port: int, children: Sequence[Child], ended: threading.Event) -> None:
    give_up_at = time.monotonic() + READY_SECONDS
    while not _is_ready(port):
        if ended.wait(LOOK_SECONDS):
            return
        _check(children)
        if time.monotonic() >= give_up_at:
            raise DemoError(
                f"the hub was not ready after {READY_SECONDS:g} s.{_last_lines(children[0].log)}"
            )


def _is_ready(port: int) -> bool:
    # Not urllib, which would ask the proxy that the environment may name.
    link = http.client.HTTPConnection(DEFAULT_HOST, port, timeout=PROBE_SECONDS)
    try:
        link.request("GET", "/readyz")
        return link.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def _check(children: Sequence[Child]) -> None:
    """Raise DemoError where a child has ended by itself."""
    for child in children:
        status = child.leash.poll()
        if status is not None:
            raise DemoError(
                f"the part {child.name!r} ended with status {status}.{_last_lines(child.log)}"
            )


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return f" Its last words, of {log}:\n" + "\n".join(lines)


def _announce(url: str, token: str, children: Sequence[Child]) -> None:
    """Say where everything is; on standard output, for scripts too."""
    tail = f"{_program()} tail portfolio positions decisions"
    click.echo(f"""
  Page    {_page(url, token)}
  Token   {token}

In a second terminal of yours:

  {tail}

or from anywhere on this machine:

  TAPECAST_URL={url} TAPECAST_TOKEN={token} {tail}

Logs are in {children[0].log.parent}. Ctrl-C ends it all.""")


def _page(url: str, token: str) -> str:
    # In the fragment, which a browser sends to nobody: not to the hub, not into any log.
    return f"{url}/#token={token}"


def _program() -> str:
    """How another terminal calls this command: by its name where that finds it, else by its path.

    `make demo` installs it where no PATH leads to.
    """
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    if called.name != "tapecast" or (found and called.exists() and called.samefile(found)):
        return "tapecast"
    return shlex.quote(str(called.absolute()))


def _choose_port(wanted: int | None) -> int:
    """The port that was asked for, or the default, or a free one where the default is taken.

    Raises DemoError where the one that was asked for cannot be had: whoever has it would answer
    in the hub's place, and be announced.
    """
    if wanted != 0:
        try:
            return _try_port(wanted or DEFAULT_PORT)
        except OSError as error:
            if wanted:
                raise DemoError(
                    f"cannot listen on {DEFAULT_HOST}:{wanted}: {error.strerror}. "
                    "Choose another with --port, or 0 for a free one."
                ) from None
            click.echo(f"Port {DEFAULT_PORT} is taken, so this demo uses another.", err=True)
    return _try_port(0)


def _try_port(port: int) -> int:
    """Bind to `port` for a moment, and return its number; raises OSError."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((DEFAULT_HOST, port))
        found: int = sock.getsockname()[1]
        return found
