"""producers/sources/alerts/engine.py: rules over what channels say, without Redis and clocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hub.protocol.streams import KNOWN, Kind
from producers.events import Alert, AlertState
from producers.sources.alerts.engine import Engine
from producers.sources.alerts.rules import read_rules
from producers.sources.alerts.watched import Look

SECOND = 1_000_000
BEGIN = 1_800_000_000 * SECOND
DAY = 24 * 3600 * SECOND

DRAWDOWN: dict[str, Any] = {"watch": "drawdown", "channel": "portfolio", "limit": 10, "clear": 5}
AVAILABLE: dict[str, Any] = {
    "watch": "field", "channel": "portfolio", "field": "available", "op": "<", "limit": 1000,
    "clear": 1200,
}  # fmt: skip
LOSS: dict[str, Any] = {
    "watch": "field", "channel": "positions", "field": "unrealized_pnl", "op": "<=", "limit": -100,
}  # fmt: skip
ERRORS: dict[str, Any] = {
    "watch": "events", "channel": "agent", "events": ["error"], "count": 3, "within_seconds": 60,
}  # fmt: skip
STALE: dict[str, Any] = {"watch": "staleness", "channel": "portfolio", "seconds": 30}


class Desk:
    """Rules that are looked at by hand; each look may be that of another engine."""

    def __init__(self, *, restarts: bool = False, **rules: Mapping[str, Any]) -> None:
        self.rules = read_rules(rules, "alerts", KNOWN)
        self.now = BEGIN
        self.restarts = restarts
        self.stored: dict[str, bytes] = {}
        self.engine = Engine(self.rules, self.stored)

    def restart(self) -> None:
        """Go on with another engine, which knows what was stored."""
        self.engine = Engine(self.rules, self.stored)

    def look(self, channel: str, content: Any, *, after: float = 1, **told: Any) -> list[Alert]:
        """One look, so many seconds later."""
        self.now += round(after * SECOND)
        kind = told.pop("kind", Kind.TABLE if channel == "positions" else Kind.VALUE)
        look = Look(channel, kind, content, **{"is_fresh": True, **told})
        return self.kept(self.engine.look(look, self.now))

    def happened(self, event: str, *, after: float = 1) -> list[Alert]:
        """One event of the agent's."""
        self.now += round(after * SECOND)
        look = Look("agent", Kind.LOG, (), is_fresh=True)
        return self.kept(self.engine.happened("agent", event, look, self.now))

    def kept(self, told: list[Any]) -> list[Alert]:
        """Store what the engine wants remembered."""
        for key, value in self.engine.take_changes().items():
            if value is None:
                del self.stored[key]
            else:
                self.stored[key] = value
        if self.restarts:
            self.restart()
        return [each.alert for each in told]


def states(told: list[Alert]) -> list[str]:
    return [str(each.state) for each in told]


def account(equity: object = "10000", **fields: Any) -> dict[str, Any]:
    """An account as it travels: money is text."""
    return {"equity": str(equity), "available": "5000", "exposure": "2000.50", **fields}


def test_a_drawdown_from_the_peak_of_the_day() -> None:
    """Fires at its limit exactly, is over below the other, and the peak of yesterday is past."""
    desk = Desk(dd=DRAWDOWN)
    assert desk.look("portfolio", account(10_000)) == []
    assert desk.look("portfolio", account("9000.01")) == []
    [fired] = desk.look("portfolio", account("9000.00"))
    assert (fired.value, fired.limit, fired.rule) == (Decimal(10), Decimal(10), "dd")
    assert desk.look("portfolio", account("9500")) == []
    [resolved] = desk.look("portfolio", account("9500.01"))
    assert (resolved.state, resolved.incident) == (AlertState.RESOLVED, fired.incident)
    desk.now = (desk.now // DAY + 1) * DAY
    assert desk.look("portfolio", account("9000")) == []


def test_exposure_as_an_amount_and_as_a_share() -> None:
    """Above its limit, of equity where the rule says so."""
    amount = {"watch": "exposure", "channel": "portfolio", "limit": "2000.50"}
    share = {"watch": "exposure", "channel": "portfolio", "limit": "20.005", "of": "equity"}
    desk = Desk(amount=amount, share=share)
    assert desk.look("portfolio", account()) == []
    told = desk.look("portfolio", account(exposure="2000.51"))
    assert [(each.rule, each.value) for each in told] == [
        ("amount", Decimal("2000.51")), ("share", Decimal("20.0051")),
    ]  # fmt: skip


def test_what_is_not_known_neither_fires_nor_clears() -> None:
    """A stale account, a missing one, and one that does not say what is compared."""
    unknowns: tuple[dict[str, Any], ...] = (
        {"is_fresh": False},
        {"content": None},
        {"content": None, "kind": None, "is_fresh": False},
        {"content": account(available=None)},
        {"content": account(available="a lot")},
        {"content": account(available=True)},
    )
    low: dict[str, Any] = {"content": account(available="1")}
    high: dict[str, Any] = {"content": account(available="5000")}
    for unknown in unknowns:
        desk = Desk(low=AVAILABLE)
        assert desk.look("portfolio", **{**low, **unknown}) == []
        assert states(desk.look("portfolio", **low)) == ["firing"]
        assert desk.look("portfolio", **{**high, **unknown}) == []
        assert states(desk.look("portfolio", **high)) == ["resolved"]


def test_each_row_of_a_table_is_an_instance() -> None:
    """Each fires by itself; a row that is deleted resolves its own."""
    desk = Desk(loss=LOSS)
    rows = {"a": {"unrealized_pnl": "-100.00"}, "b": {"unrealized_pnl": "-99.99"}}
    [fired] = desk.look("positions", rows)
    assert (fired.row, fired.title) == ("a", "positions a: unrealized_pnl is -100")
    [other] = desk.look("positions", {**rows, "b": {"unrealized_pnl": "-1e3"}})
    assert (other.row, other.value) == ("b", Decimal(-1000))
    [gone] = desk.look("positions", {"b": rows["b"] | {"unrealized_pnl": "-150"}})
    assert (gone.row, gone.state) == ("a", AlertState.RESOLVED)
    assert str(gone.detail).startswith("the row is gone")
    assert states(desk.look("positions", {})) == ["resolved"]
    assert desk.stored == {}


def test_errors_within_a_time() -> None:
    """So many within it fire; it is over when there was none for as long."""
    desk = Desk(errors=ERRORS)
    assert desk.happened("error") == []
    assert desk.happened("order_updated") == []
    assert desk.happened("error", after=59) == []
    # The first is too long ago.
    assert desk.happened("error") == []
    assert states(desk.happened("error")) == ["firing"]
    quiet: dict[str, Any] = {"channel": "agent", "content": (), "kind": Kind.LOG}
    assert desk.look(**quiet, after=59) == []
    assert states(desk.look(**quiet, after=1)) == ["resolved"]


def test_a_channel_that_nobody_keeps_fresh() -> None:
    """Stale for so long, seen by somebody who looked all the time; or never there at all."""
    stale: dict[str, Any] = {"channel": "portfolio", "content": account(), "is_fresh": False}
    missing = {**stale, "content": None, "kind": None}
    for looks in (stale, missing):
        desk = Desk(stale=STALE)
        for _ in range(8):
            assert desk.look(**looks, after=4) == []
        [fired] = desk.look(**looks, after=4)
        assert fired.title == "portfolio is stale"
        assert states(desk.look("portfolio", account())) == ["resolved"]


def test_a_channel_without_a_lease_is_silent() -> None:
    """There a publish keeps it fresh; the silence of an outage, when none was possible, is none."""
    desk = Desk(stale=STALE)
    assert desk.look("portfolio", account(), silent_since=BEGIN) == []
    for after, fires in ((4, False), *[(4, False)] * 6, (2, True)):
        assert bool(desk.look("portfolio", account(), after=after, silent_since=BEGIN)) is fires
    spoke = desk.now
    assert states(desk.look("portfolio", account(), silent_since=spoke)) == ["resolved"]
    # Away for a minute: nobody could have published.
    assert desk.look("portfolio", account(), after=60, silent_since=spoke) == []


def test_a_rule_that_is_gone_is_resolved() -> None:
    """Also where it was taken out of the file, or given another channel, while it fired."""
    desk = Desk(dd=DRAWDOWN, low=AVAILABLE)
    desk.look("portfolio", account(10_000))
    assert len(desk.look("portfolio", account(5_000, available="1"))) == 2
    desk.rules = read_rules({"dd": {**DRAWDOWN, "channel": "portfolio:*"}}, "alerts", KNOWN)
    desk.restart()
    told = desk.kept(desk.engine.retire(desk.now))
    assert [(each.rule, each.state) for each in told] == [
        ("dd", AlertState.RESOLVED), ("low", AlertState.RESOLVED),
    ]  # fmt: skip
    assert desk.stored == {}


def test_a_title_of_ones_own() -> None:
    """What a title refers to is filled in, and braces in a row's name stay what they are."""
    titled = {**LOSS, "title": "{row} of {channel} at {value}, {limit} is the limit ({rule})"}
    desk = Desk(loss=titled)
    [fired] = desk.look("positions", {"{rule}": {"unrealized_pnl": "-123.456789012"}})
    assert fired.title == "{rule} of positions at -123.45678901, -100 is the limit (loss)"


def test_numbers_beyond_all_amounts() -> None:
    """They are no money, and never break the rules."""
    desk = Desk(low=AVAILABLE, share={"watch": "exposure", "channel": "portfolio", "limit": 1,
                                      "of": "equity"})  # fmt: skip
    for wild in ("1e99", "-1e99", 10**80, Decimal("1e-99"), "1" * 101):
        assert desk.look("portfolio", account(wild, available=wild, exposure=wild)) == []
    [fired] = desk.look("portfolio", account("1e-40", exposure="1e40"))
    assert (fired.value, fired.rule) == (None, "share")


AMOUNTS = st.decimals(0, 20_000, places=2).map(str) | st.sampled_from([None, "nonsense"])
LOOKS = st.lists(
    st.tuples(AMOUNTS, AMOUNTS, st.booleans(), st.sampled_from([0.5, 3, 20])), max_size=25
)
RULES: dict[str, Any] = {
    "dd": {**DRAWDOWN, "for_seconds": 2},
    "low": {**AVAILABLE, "quiet_seconds": 10},
    "stale": {**STALE, "seconds": 4},
}


def told_by(desk: Desk, looks: list[tuple[Any, Any, bool, float]]) -> Iterator[list[Alert]]:
    """What each look told."""
    for equity, available, is_fresh, after in looks:
        content = {"equity": equity, "available": available}
        yield desk.look("portfolio", content, after=after, is_fresh=is_fresh)


@given(LOOKS)
def test_whoever_takes_over_tells_the_same(looks: list[tuple[Any, Any, bool, float]]) -> None:
    """An engine that is replaced after each look tells what one that lives tells."""
    restarted = told_by(Desk(restarts=True, **RULES), looks)
    assert list(restarted) == list(told_by(Desk(**RULES), looks))


@given(LOOKS)
def test_each_incident_begins_and_ends_once(looks: list[tuple[Any, Any, bool, float]]) -> None:
    """Of each rule, firing and resolved take turns, and both name the same incident."""
    open_incidents: dict[str | None, str | None] = {}
    seen: set[str | None] = set()
    for told in told_by(Desk(**RULES), looks):
        for alert in told:
            if alert.state is AlertState.FIRING:
                assert alert.rule not in open_incidents
                assert alert.incident not in seen
                seen.add(alert.incident)
                open_incidents[alert.rule] = alert.incident
            else:
                assert open_incidents.pop(alert.rule) == alert.incident


@given(st.lists(st.decimals(1, 20_000, places=2), min_size=1, max_size=30))
def test_a_drawdown_is_that_of_plain_lists(equities: list[Decimal]) -> None:
    """It fires exactly where the fall from the highest so far reaches the limit."""
    desk = Desk(dd={**DRAWDOWN, "clear": 10, "window": "start"})
    is_firing = False
    for at, equity in enumerate(equities):
        told = desk.look("portfolio", {"equity": str(equity)})
        reaches = (max(equities[: at + 1]) - equity) * 100 >= 10 * max(equities[: at + 1])
        assert states(told) == (
            [] if reaches == is_firing else ["firing" if reaches else "resolved"]
        )
        is_firing = reaches
