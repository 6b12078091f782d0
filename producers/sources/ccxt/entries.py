"""Orders and fills of an account: logs, of which nothing may be missed.

Where they can be watched, the watch begins before they are read: the other order loses what happens
in between. They are read again now and then, since a link can be open and deliver nothing. Where
they can't be watched, they are read every interval.

An order is told when it is new or changed, a fill once. What was told is remembered here, within a
bound, and by key in Redis: so it is no matter that the two ways tell the same.
"""

from __future__ import annotations

import abc
import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec

from producers.errors import SourceError
from producers.events import Event, Order
from producers.sources.base import Happened, Reading
from producers.sources.ccxt.exchange import Exchange
from producers.sources.ccxt.mapping import Structure, fill_id, fill_of, market_of, order_of

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 30.0
"""Between two readings of what is watched."""
PAST_SECONDS: Final = 86_400.0
"""How far back fills are read at the start."""
REMEMBERED: Final = 10_000


class Entries(abc.ABC):
    """What orders and fills have in common. symbols: of the markets to ask for, none for all."""

    fetch: ClassVar[str]
    watch: ClassVar[str]

    def __init__(
        self,
        exchange: Exchange,
        channel: str,
        *,
        symbols: Sequence[str],
        interval: float,
        watch: bool,
    ) -> None:
        self._exchange = exchange
        self._channel = channel
        self._symbols: Sequence[str | None] = symbols or (None,)
        self._interval = interval
        self._is_watched = watch and exchange.has(self.watch)

    @property
    def is_offered(self) -> bool:
        """Whether the exchange tells of them in any way."""
        return self._is_watched or self._exchange.has(self.fetch)

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        """What is new or changed, from both ways."""
        if not self._is_watched:
            while True:
                yield await self._read()
                await asyncio.sleep(self._interval)
        now = asyncio.get_running_loop().time
        watching = self._begin_watch()
        try:
            while True:
                yield await self._read()
                read_at = now() + AGAIN_SECONDS
                while now() < read_at:
                    await asyncio.wait([watching], timeout=read_at - now())
                    if watching.done():
                        heard = _listed(self.watch, watching.result())
                        watching = self._begin_watch()
                        yield self._readings(heard)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _begin_watch(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self._exchange.watch(self.watch), name=self.watch)

    async def _read(self) -> Sequence[Reading]:
        if not self._exchange.has(self.fetch):
            return []
        found: list[Structure] = []
        for symbol in self._symbols:
            answer = await self._exchange.call(self.fetch, symbol, *self._arguments())
            found += _listed(self.fetch, answer)
        return [*self._readings(found), *await self._missing(found)]

    def _arguments(self) -> tuple[Any, ...]:
        return ()

    async def _missing(self, found: Sequence[Structure]) -> Sequence[Reading]:
        """What follows of an entry that is not among those that were read."""
        return []

    @abc.abstractmethod
    def _readings(self, found: Iterable[Structure]) -> list[Reading]:
        """What of these is news."""


class Orders(Entries):
    """Orders, as events of the agent's log."""

    fetch = "fetch_open_orders"
    watch = "watch_orders"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told: OrderedDict[str, Order] = OrderedDict()

    def _readings(self, found: Iterable[Structure]) -> list[Reading]:
        return [reading for each in found for reading in self._news_of(order_of(each))]

    def _news_of(self, order: Order) -> list[Reading]:
        if self._told.get(order.id) == order:
            return []
        _remember(self._told, order.id, order)
        key = f"order:{self._exchange.id}:{order.id}"
        return [Happened(self._channel, Event.ORDER_UPDATED, order, key=key)]

    async def _missing(self, found: Sequence[Structure]) -> Sequence[Reading]:
        listed = {each.get("id") for each in found}
        gone = [each for each in self._told.values() if each.status == "open"]
        readings: list[Reading] = []
        for order in gone:
            if order.id not in listed and self._is_asked_for(order):
                readings += self._news_of(await self._end_of(order))
        return readings

    def _is_asked_for(self, order: Order) -> bool:
        return None in self._symbols or order.asset_pair in self._symbols

    async def _end_of(self, order: Order) -> Order:
        """What became of an order that is not open any more."""
        if self._exchange.has("fetch_order"):
            try:
                ended = order_of(
                    await self._exchange.call("fetch_order", order.id, order.asset_pair)
                )
                if ended.status != "open":
                    return ended
            except SourceError as error:
                logger.info("%s: %s", order.id, error)
        return msgspec.structs.replace(order, status="unknown")


class Fills(Entries):
    """Fills, as `trade_executed` in the agent's log."""

    fetch = "fetch_my_trades"
    watch = "watch_my_trades"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._newest = 0

    def _arguments(self) -> tuple[Any, ...]:
        # In milliseconds, as ccxt has times. Exchanges refuse one that is too long ago.
        return (max(self._newest, round(1000 * (time.time() - PAST_SECONDS))),)

    def _readings(self, found: Iterable[Structure]) -> list[Reading]:
        readings: list[Reading] = []
        for each in sorted(found, key=lambda each: each.get("timestamp") or 0):
            name = f"{each.get('symbol')}:{fill_id(each)}"
            if name in self._told:
                continue
            fill = fill_of(each, market_of(each, self._exchange.markets))
            _remember(self._told, name, None)
            key = f"fill:{self._exchange.id}:{name}"
            readings.append(Happened(self._channel, Event.TRADE_EXECUTED, fill, key=key))
            self._newest = max(self._newest, int(each["timestamp"]))
        return readings


def _listed(method: str, answer: Any) -> list[Structure]:
    if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
        raise SourceError(f"{method}: expected a list of structures, got {answer!r:.80}")
    return answer


def _remember(told: OrderedDict[str, Any], id: str, what: Any) -> None:
    told[id] = what
    told.move_to_end(id)
    while len(told) > REMEMBERED:
        told.popitem(last=False)
