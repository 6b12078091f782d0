"""What the dashboard costs a browser: `python -m benchmarks.dashboard`.

The built page in the Chromium of this machine, on a hub of its own. First how long it takes from
the address to the first numbers on the screen; then what each page of it takes while a busy desk
publishes a thousand updates a second. CPU time is that of the page's main thread, as the browser
counts it; memory is JavaScript's heap after a collection.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from benchmarks import chromium, desk, load, producer, report, script, servers
from benchmarks.report import Figures
from benchmarks.servers import Cores, Server, write_tokens
from dashboard import shipping
from dashboard.node import ROOT

EXAMPLES = """\
examples:
  python -m benchmarks.dashboard
  python -m benchmarks.dashboard --runs 1 --write-docs
  python -m benchmarks.dashboard --seconds 10 --runs 1 --json

Needs Chromium, and Node where the dashboard was not built yet.
"""
RATE = 1000.0
START_SECONDS = 2.0
"""For the process that publishes."""
LOADS = 10

MAX_MAIN_THREAD = 0.3
MAX_LOAD_MS = 1000.0
MB = 1e6

FIRST_NUMBERS = """
window.firstNumbers = new Promise((done) => {
    new MutationObserver((changes, observer) => {
        if (document.querySelector(".headline .amount:not(.unknown)") === null) return;
        observer.disconnect();
        requestAnimationFrame(done);
    }).observe(document, { childList: true, subtree: true });
});
"""
"""When the first frame with numbers began, in milliseconds since the page was asked for."""


PAGES = {"dashboard": "#/", "hub": "#/hub", "developer": "#/dev"}
"""The addresses of the dashboard's pages."""


class Load(msgspec.Struct, frozen=True):
    """From the address to the first numbers: with a token and nothing kept, and once more."""

    first_ms: float
    again_ms: float


class Busy(msgspec.Struct, frozen=True):
    """What a page took under load: shares of a core for the main thread, and what it held at the
    begin and at the end."""

    per_second: float
    main_thread: float
    scripts: float
    rendering: float
    heap_before_mb: float
    heap_after_mb: float
    nodes_before: float
    nodes_after: float


class Results(msgspec.Struct, frozen=True):
    """The line that is printed."""

    benchmark: str
    rate: float
    seconds: float
    runs: int
    loads: int
    shared_core: bool
    machine: str
    required: dict[str, float]
    load: Figures
    pages: dict[str, Figures]


class Place(NamedTuple):
    """A hub that serves the dashboard, a token for it, and the Valkey that it follows."""

    hub: Server
    token: str
    redis: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.hub.port}/"

    @property
    def logged_in(self) -> str:
        """The address as `tapecast demo` prints it."""
        return f"{self.url}#token={self.token}"


@contextlib.contextmanager
def place(core: int) -> Iterator[Place]:
    """A hub and its Valkey, on one core."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder, load.on_core(core):
        tokens = write_tokens(Path(folder, "tokens"), 1)
        with servers.setting(Path(folder), (core,), tokens) as at, servers.tapecast(at) as hub:
            yield Place(hub, tokens.read_text().strip(), at.redis)


def measure_load(browser: Browser, at: Place) -> Load:
    """Open the page with a token, then once more as somebody who is logged in."""
    with contextlib.closing(browser.new_context()) as context:
        context.add_init_script(FIRST_NUMBERS)
        page = context.new_page()
        page.goto(at.logged_in)
        first = page.evaluate("window.firstNumbers")
        page.goto(at.url)
        return Load(first, page.evaluate("window.firstNumbers"))


def measure_busy(
    browser: Browser, at: Place, name: str, warm: float, seconds: float, core: int
) -> Busy:
    """Have a desk publish, and look at the page's main thread meanwhile.

    warm: seconds before, in which lists that are bounded fill up.
    """
    with contextlib.closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(at.logged_in)
        page.wait_for_selector(".headline .amount:not(.unknown)")
        page.evaluate("(hash) => { location.hash = hash; }", PAGES[name])
        with load.on_core(core):
            process = desk.start(at.redis, RATE, START_SECONDS + warm + seconds)
        try:
            page.wait_for_timeout((START_SECONDS + warm) * 1000)
            return _watch(context, page, seconds, process)
        finally:
            process.kill()


def _watch(context: BrowserContext, page: Page, seconds: float, process: desk.Process) -> Busy:
    tools = context.new_cdp_session(page)
    # CPU time: what else runs on the core meanwhile is in no figure.
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics() -> dict[str, float]:
        return {
            each["name"]: each["value"] for each in tools.send("Performance.getMetrics")["metrics"]
        }

    tools.send("HeapProfiler.collectGarbage")
    before = metrics()
    page.wait_for_timeout(seconds * 1000)
    after = metrics()
    tools.send("HeapProfiler.collectGarbage")
    held = metrics()
    produced = producer.result(process)

    def share(*names: str) -> float:
        took = after["Timestamp"] - before["Timestamp"]
        return sum(after[name] - before[name] for name in names) / took

    return Busy(
        per_second=produced.stored / produced.seconds,
        main_thread=share("TaskDuration"),
        scripts=share("ScriptDuration"),
        rendering=share("LayoutDuration", "RecalcStyleDuration"),
        heap_before_mb=before["JSHeapUsedSize"] / MB,
        heap_after_mb=held["JSHeapUsedSize"] / MB,
        nodes_before=before["Nodes"],
        nodes_after=held["Nodes"],
    )


def benchmark(options: argparse.Namespace, cores: Cores) -> Results:
    """Loads, then every page, as often as asked for."""
    path = chromium.find()
    if path is None:
        raise script.Failed("needs Chromium, and found none on PATH")
    try:
        shipping.ship(ROOT, {**os.environ, shipping.VARIABLE: "require"}, _say)
        with sync_playwright() as playwright, place(cores.server) as at:
            browser = playwright.chromium.launch(executable_path=path, args=list(chromium.OPTIONS))
            with contextlib.closing(browser):
                loads = [measure_load(browser, at) for _ in range(options.loads)]
                pages = script.rounds(
                    options.runs,
                    PAGES,
                    lambda name: measure_busy(
                        browser, at, name, options.warm, options.seconds, cores.server
                    ),
                )
                version = browser.version
    except (Error, shipping.ShippingError) as error:
        raise script.Failed(str(error)) from error
    return Results(
        benchmark="dashboard",
        rate=RATE,
        seconds=options.seconds,
        runs=options.runs,
        loads=options.loads,
        shared_core=cores.server == cores.load,
        machine=report.machine([f"Chromium {version}"]),
        required={"main_thread": MAX_MAIN_THREAD, "first_ms": MAX_LOAD_MS},
        load=report.figures(loads),
        pages={name: report.figures(of_page) for name, of_page in pages.items()},
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def tables(results: Results) -> str:
    """How soon it is there, and what each page takes."""
    first, again = results.load["first_ms"], results.load["again_ms"]
    loaded = report.table(
        ["from the address to the first numbers", "ms", "aim"],
        [
            ["with a token in the address, nothing kept", f"{first:.0f}", f"< {MAX_LOAD_MS:.0f}"],
            ["logged in, files kept", f"{again:.0f}", ""],
        ],
    )
    rows = [
        [
            name,
            f"{of['per_second']:,.0f}",
            f"{of['main_thread']:.1%}",
            f"{of['scripts']:.1%}",
            f"{of['rendering']:.1%}",
            f"{of['heap_before_mb']:.1f}",
            f"{of['heap_after_mb']:.1f}",
            f"{of['nodes_before']:,.0f}",
            f"{of['nodes_after']:,.0f}",
        ]
        for name, of in results.pages.items()
    ]
    rows.append(["aim", "", f"< {MAX_MAIN_THREAD:.0%}", *[""] * 6])
    header = ["page", "updates/s", "main thread", "scripts", "style, layout"]
    header += ["heap MB, begin", "end", "DOM nodes, begin", "end"]
    return (
        f"{results.loads} loads each:\n\n{loaded}\n\n"
        f"{results.rate:,.0f} updates a second for {results.seconds:g} s: a quarter each of the "
        f"portfolio, {desk.MARKED} of {desk.POSITIONS} positions, decisions and the agent's steps. "
        f"Shares are CPU time of one core.\n\n{report.table(header, rows)}"
    )


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = script.parser("dashboard", __doc__, EXAMPLES)
    parser.add_argument("--loads", type=int, default=LOADS, metavar="N", help="of the page (10)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, metavar="S", help="to watch each page for (60)"
    )
    parser.add_argument(
        "--warm", type=float, default=15.0, metavar="S", help="under load before that (15)"
    )
    return script.parse(parser, arguments, {"seconds": 3.0, "warm": 2.0, "loads": 3})


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit status is 1 where something failed."""
    options = read_options(arguments)
    return script.run(options, arguments, lambda cores: benchmark(options, cores), tables)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
