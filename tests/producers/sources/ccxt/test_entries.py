"""producers/sources/ccxt/entries.py: orders and fills, none of which may be missed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest

from producers.errors import SourceError
from producers.sources.base import Happened
from producers.sources.ccxt.entries import MAX_ASKED, Entries, Fills, Orders
from producers.sources.ccxt.exchange import Refused

NOW = round(1000 * time.time())
MARKETS = {
    symbol: {"symbol": symbol, "quote": "USDT", "contract": False}
    for symbol in ("BTC/USDT", "ETH/USDT")
}


def order(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "symbol": "BTC/USDT", "side": "buy", "amount": "1", "filled": "0",
            "price": "100.10", "status": "open", "timestamp": NOW, **fields}  # fmt: skip


def fill(id: str, at: int = NOW, **fields: Any) -> dict[str, Any]:
    return {"id": id, "symbol": "BTC/USDT", "side": "buy", "amount": "1", "price": "100.10",
            "timestamp": at, **fields}  # fmt: skip


class ScriptedExchange:
    """Answers what the test says; a list is asked for by what it is called with."""

    id = "x"
    markets = MARKETS

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[Any, ...]] = []

    def has(self, method: str) -> bool:
        return method in self.answers

    async def call(self, method: str, *arguments: Any) -> Any:
        self.calls.append((method, *arguments))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(*arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = call


def entries(kind: type[Entries[Any]], exchange: ScriptedExchange, **options: Any) -> Any:
    given = {"symbols": (), "interval": 0.0, "watch": False, **options}
    return kind(exchange, "agent", **given)  # type: ignore[arg-type]


def told(readings: Iterable[Any]) -> list[tuple[str, Any]]:
    """What is told, by id, with the status of an order."""
    found = []
    for reading in readings:
        assert isinstance(reading, Happened)
        payload: Any = reading.payload
        found.append((payload.id, getattr(payload, "status", None)))
    return found


@pytest.mark.parametrize(("kind", "fetch", "make"), [(Orders, "fetch_open_orders", order),
                                                     (Fills, "fetch_my_trades", fill)])  # fmt: skip
async def test_what_can_not_be_read_takes_nothing_with_it(
    kind: type[Entries[Any]], fetch: str, make: Any
) -> None:
    """One entry that can't be read is a failure; those before it were remembered as told, and were
    never told."""
    exchange = ScriptedExchange(**{fetch: [make("a"), make("b", side="?"), make("c")]})
    log = entries(kind, exchange)
    with pytest.raises(SourceError, match="expected buy or sell"):
        await anext(log.follow())
    exchange.answers[fetch] = [make("a"), make("b"), make("c")]
    assert [id for id, _ in told(await anext(log.follow()))] == ["a", "b", "c"]


async def test_an_order_that_is_not_listed_any_more() -> None:
    """It is asked for. Where the exchange refuses to say, its status is unknown; a failure says
    nothing about it, and made it unknown for good."""
    exchange = ScriptedExchange(fetch_open_orders=[order("a")], fetch_order=Refused("gone"))
    log = entries(Orders, exchange)
    async with aclosing(log.follow()) as following:
        assert told(await anext(following)) == [("a", "open")]
        exchange.answers |= {"fetch_open_orders": [], "fetch_order": SourceError("silence")}
        assert told(await anext(following)) == []
        exchange.answers["fetch_order"] = order("a", status="closed", filled="1")
        assert told(await anext(following)) == [("a", "closed")]
        exchange.answers["fetch_open_orders"] = [order("b")]
        assert told(await anext(following)) == [("b", "open")]
        exchange.answers |= {"fetch_open_orders": [], "fetch_order": Refused("gone")}
        assert told(await anext(following)) == [("b", "unknown")]


async def test_more_open_orders_than_are_listed() -> None:
    """Those that the list has no room for are asked for, some at a time, and stay open."""
    many = [order(f"o{i}") for i in range(MAX_ASKED + 5)]
    exchange = ScriptedExchange(fetch_open_orders=many, fetch_order=lambda id, _: order(id))
    log = entries(Orders, exchange)
    async with aclosing(log.follow()) as following:
        assert len(told(await anext(following))) == len(many)
        exchange.answers["fetch_open_orders"] = []
        exchange.calls.clear()
        for _ in range(2):
            assert told(await anext(following)) == []
    asked = [arguments[0] for method, *arguments in exchange.calls if method == "fetch_order"]
    assert len(asked) == 2 * MAX_ASKED
    assert set(asked) == {each["id"] for each in many}


async def test_one_id_in_two_markets() -> None:
    """Some exchanges number the orders and fills of each market by itself."""
    other = {"symbol": "ETH/USDT"}
    both = [order("1"), order("1", **other)]
    fills = [fill("1"), {**fill("1"), **other}]
    exchange = ScriptedExchange(fetch_open_orders=both, fetch_my_trades=fills)
    for kind in (Orders, Fills):
        log = entries(kind, exchange)
        async with aclosing(log.follow()) as following:
            readings = await anext(following)
            assert len({reading.key for reading in readings}) == 2
            assert await anext(following) == []


async def test_a_fill_that_is_heard_hides_none_before_it() -> None:
    """What is read next begins where reading ended, not at what was heard: an exchange answers
    some at a time, and after a broken link there may be more than it answered."""
    heard = iter([[fill("late", NOW + 9_000)], SourceError("the link broke")])
    exchange = ScriptedExchange(
        fetch_my_trades=[fill("a", NOW + 1_000)], watch_my_trades=lambda: next(heard)
    )
    log = entries(Fills, exchange, watch=True)
    following = log.follow()
    assert told(await anext(following)) == [("a", None)]
    assert told(await anext(following)) == [("late", None)]
    with pytest.raises(SourceError):
        await anext(following)
    exchange.calls.clear()
    exchange.answers["fetch_my_trades"] = [fill("a", NOW + 1_000), fill("b", NOW + 2_000)]
    async with aclosing(log.follow()) as following:
        assert told(await anext(following)) == [("b", None)]
    assert ("fetch_my_trades", None, NOW + 1_000) in exchange.calls
