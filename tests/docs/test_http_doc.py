"""docs/http.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Mount, Route

from hub.broker.memory import MemoryBroker
from hub.protocol.payload import MAX_DATA_BYTES
from hub.protocol.scripts import ANSWERS_KEPT, ANSWERS_SECONDS
from hub.server.access import MAX_IDEMPOTENCY_KEY
from hub.server.answers import STATUS
from hub.server.app import create_app
from hub.server.metrics import Metrics, expose
from hub.server.page_files import page_routes
from hub.server.posted import MAX_BATCH
from hub.server.rest import DEFAULT_ENTRIES, MAX_ENTRIES
from hub.server.rest_commands import MAX_WAIT_MS
from hub.server.settings import Settings
from tests.support.livehub import SECRET

TEXT = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


def tables(heading: str) -> list[list[str]]:
    """The rows of all tables whose header begins so, cell by cell."""
    rows = []
    for block in TEXT.split("\n\n"):
        if block.startswith(f"| {heading} |"):
            rows += [
                [cell.strip() for cell in line.strip("|").split("|")]
                for line in block.splitlines()[2:]
            ]
    return rows


def test_every_endpoint_is_documented() -> None:
    """The requests of the page are those of the application, but for the pages' files."""
    app = create_app(Settings(jwt_secret=SECRET), MemoryBroker())
    pages = {route.path for route in page_routes()} - {"/"}
    served = set()
    for route in app.routes:
        if isinstance(route, Mount):
            served |= {(method, route.path + each.path) for each in route.routes
                       if isinstance(each, Route) for method in each.methods or ()}  # fmt: skip
        elif isinstance(route, Route) and route.path not in pages:
            served |= {(method, route.path) for method in route.methods or ()}
    documented = {tuple(row[0].strip("`").split(" ")) for row in tables("request")}
    assert {each for each in served if each[0] != "HEAD"} == documented | {("GET", "/")}


def test_the_statuses_are_those_of_the_code() -> None:
    """Each status of the table goes with its code."""
    assert tables("status") == [
        [str(status.value), str(code.number), code.name] for code, status in STATUS.items()
    ]


def test_every_metric_is_documented() -> None:
    """Name, type and help of each metric, and no others."""
    families = text_string_to_metric_families(expose(Metrics(), {}).decode())
    exposed = [
        [
            f"`{family.name}_total`" if family.type == "counter" else f"`{family.name}`",
            family.type,
            family.documentation,
        ]
        for family in families
        if family.name.startswith("tapecast_")
    ]
    assert tables("metric") == exposed


def test_the_bounds_are_those_of_the_code() -> None:
    """Every number that the page promises."""
    for promise in (
        f"1 to {MAX_ENTRIES} entries, {DEFAULT_ENTRIES} by default",
        f"a batch of at most {MAX_BATCH}",
        f"1 to {MAX_IDEMPOTENCY_KEY} characters",
        f"{Settings(jwt_secret=SECRET).body_bytes // 1024**2} MiB by default",
        f"up to {MAX_WAIT_MS}, holds",
        f"at most {MAX_DATA_BYTES // 1024} KiB an entry",
    ):
        assert promise in TEXT, promise
    assert ANSWERS_SECONDS == 24 * 3600, "within a day"
    # Each entry of a batch is still known when the whole batch is sent again.
    assert MAX_BATCH <= ANSWERS_KEPT
