"""Balance and positions of an account, read together so that they belong together.

They are read every interval, since the market moves what they are worth; and where the exchange can
be watched, as soon as something changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from producers.events import Mode
from producers.sources.base import Positions, Reading, State
from producers.sources.ccxt.exchange import Exchange
from producers.sources.ccxt.mapping import (
    Total,
    UnknownMarket,
    amount,
    derivatives_portfolio,
    holdings,
    is_open,
    market_of,
    position_of,
    spot_portfolio,
)
from producers.sources.parts import News

logger = logging.getLogger(__name__)

SETTLE_SECONDS: Final = 2.0
"""What can't be watched has failed by then."""


class Account:
    """The account.

    total: what its total is, for one of derivatives; None for one that holds coins.
    positions: their channel, None where there are none.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        currency: str,
        total: Total | None,
        portfolio: str,
        positions: str | None,
        interval: float,
    ) -> None:
        self._exchange = exchange
        self._currency = currency
        self._total = total
        self._portfolio = portfolio
        self._positions = positions
        self._interval = interval
        self._mode = Mode.PAPER if exchange.is_paper else Mode.LIVE
        self._news = News()
        self._valued: set[str] = set()
        self._unvalued: set[str] = set()

    @property
    def channels(self) -> tuple[str, ...]:
        """Where it publishes."""
        return tuple(filter(None, (self._portfolio, self._positions)))

    @property
    def watched(self) -> tuple[str, ...]:
        """The methods that can tell of a change."""
        methods = ("watch_balance",) if self._positions is None else (
            "watch_balance", "watch_positions",
        )  # fmt: skip
        return tuple(method for method in methods if self._exchange.has(method))

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """The account, each interval and at news."""
        while True:
            self._news.take()
            yield await (self._coins() if self._total is None else self._margin(self._total))
            await self._news.wait(self._interval)

    def listener(self, method: str) -> Callable[[], AsyncGenerator[Sequence[Reading]]]:
        """A part that publishes nothing: it hears of changes, for `follow` to read."""

        async def listen() -> AsyncGenerator[Sequence[Reading]]:
            first = asyncio.create_task(self._exchange.watch(method))
            try:
                # Nothing says that a watch has begun, but that it has not failed.
                await asyncio.wait([first], timeout=SETTLE_SECONDS)
                if first.done():
                    first.result()
                # What changed before is read now.
                self._news.tell()
                yield []
                await first
            finally:
                first.cancel()
                await asyncio.gather(first, return_exceptions=True)
            while True:
                self._news.tell()
                await self._exchange.watch(method)

        return listen

    async def _margin(self, total: Total) -> Sequence[Reading]:
        assert self._positions is not None
        balance, positions = await asyncio.gather(
            self._exchange.call("fetch_balance"), self._exchange.call("fetch_positions")
        )
        markets = self._exchange.markets
        portfolio = derivatives_portfolio(
            balance,
            positions,
            markets,
            currency=self._currency,
            total_is=total,
            platform=self._exchange.id,
            mode=self._mode,
        )
        rows = tuple(position_of(each, market_of(each, markets)) for each in positions
                     if is_open(each))  # fmt: skip
        return [Positions(self._positions, rows), State(self._portfolio, portfolio)]

    async def _coins(self) -> Sequence[Reading]:
        balance = await self._exchange.call("fetch_balance")
        prices = await self._prices(holdings(balance, self._currency))
        portfolio = spot_portfolio(
            balance,
            prices,
            currency=self._currency,
            platform=self._exchange.id,
            mode=self._mode,
        )
        return [State(self._portfolio, portfolio)]

    async def _prices(self, held: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """The last price of each coin that has a market with the currency."""
        symbols = {coin: f"{coin}/{self._currency}" for coin in held}
        expected = {symbols[coin] for coin in held.keys() - self._unvalued}
        if expected - self._exchange.markets.keys():
            # A market that is new, perhaps.
            await self._exchange.reload_markets()
        markets = self._exchange.markets
        wanted = {coin: symbol for coin, symbol in symbols.items() if symbol in markets}
        tickers: Mapping[str, Any] = {}
        if wanted and self._exchange.has("fetch_tickers"):
            tickers = await self._exchange.call("fetch_tickers", list(wanted.values()))
        elif wanted:
            tickers = {
                symbol: await self._exchange.call("fetch_ticker", symbol)
                for symbol in wanted.values()
            }
        found = {
            coin: amount((tickers.get(symbol) or {}).get("last"), f"the price of {symbol}")
            for coin, symbol in wanted.items()
        }
        prices = {coin: price for coin, price in found.items() if price is not None}
        # Left out, they would be money that is gone; where their market was closed, it is so.
        lost = self._valued & wanted.keys() - prices.keys()
        if lost := {coin for coin in lost if markets[wanted[coin]].get("active") is not False}:
            raise UnknownMarket(f"expected a price of {', '.join(sorted(lost))}, as there was one")
        self._valued |= prices.keys()
        if unvalued := held.keys() - prices.keys() - self._unvalued:
            self._unvalued |= unvalued
            coins = ", ".join(sorted(unvalued))
            logger.warning("not in the equity, having no price in %s: %s", self._currency, coins)
        return prices
