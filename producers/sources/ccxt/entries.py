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
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec

from producers.errors import SourceError
from producers.events import Event, Order, TradeExecuted
from producers.sources.base import Happened, Reading
from producers.sources.ccxt.exchange import Exchange, Refused
from producers.sources.ccxt.mapping import Structure, fill_of, market_of, order_of

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 30.0
"""Between two readings of what is watched."""
PAST_SECONDS: Final = 86_400.0
"""How far back fills are read at the start."""
REMEMBERED: Final = 10_000
MAX_ASKED: Final = 10
"""Orders that are asked for in one reading, each of which is a request."""

Entry = TypeVar("Entry", Order, TradeExecuted)


class Entries(abc.ABC, Generic[Entry]):
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
                        heard = self._understood(self.watch, watching.result())
                        watching = self._begin_watch()
                        yield self._news_of(heard)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _begin_watch(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self._exchange.watch(self.watch), name=self.watch)

    async def _read(self) -> Sequence[Reading]:
        if not self._exchange.has(self.fetch):
            return []
        found: list[Entry] = []
        for symbol in self._symbols:
            answer = await self._exchange.call(self.fetch, symbol, *self._arguments())
            found += self._understood(self.fetch, answer)
        # All of it was understood by now: what fails after it was remembered is never told.
        return self._news_of(await self._completed(found))

    def _understood(self, method: str, answer: Any) -> list[Entry]:
        """All of an answer, or SourceError."""
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise SourceError(f"{method}: expected a list of structures, got {answer!r:.80}")
        return [self._understand(each) for each in answer]

    def _arguments(self) -> tuple[Any, ...]:
        return ()

    @abc.abstractmethod
    def _understand(self, structure: Structure) -> Entry:
        """One entry of ccxt's."""

    @abc.abstractmethod
    async def _completed(self, found: list[Entry]) -> list[Entry]:
        """What was read, with what follows of what is not among it."""

    @abc.abstractmethod
    def _news_of(self, found: Iterable[Entry]) -> list[Reading]:
        """What of these is news; it is remembered as told."""


class Orders(Entries[Order]):
    """Orders, as events of the agent's log."""

    fetch = "fetch_open_orders"
    watch = "watch_orders"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told: OrderedDict[str, Order] = OrderedDict()

    def _understand(self, structure: Structure) -> Order:
        return order_of(structure, market_of(structure, self._exchange.markets))

    def _news_of(self, found: Iterable[Order]) -> list[Reading]:
        readings: list[Reading] = []
        for order in found:
            name = _name_of(order)
            if self._told.get(name) != order:
                _remember(self._told, name, order)
                key = f"order:{self._exchange.id}:{name}"
                readings.append(Happened(self._channel, Event.ORDER_UPDATED, order, key=key))
        return readings

    async def _completed(self, found: list[Order]) -> list[Order]:
        listed = {_name_of(order) for order in found}
        gone = [
            (name, order)
            for name, order in self._told.items()
            if order.status == "open" and name not in listed and self._is_asked_for(order)
        ]
        ended: list[Order] = []
        for name, order in gone[:MAX_ASKED]:
            # The others first, the next time.
            self._told.move_to_end(name)
            ended.append(await self._asked_for(order))
        return [*found, *ended]

    def _is_asked_for(self, order: Order) -> bool:
        return None in self._symbols or order.asset_pair in self._symbols

    async def _asked_for(self, order: Order) -> Order:
        """An order that was not listed any more, as it stands now."""
        try:
            if not self._exchange.has("fetch_order"):
                raise Refused("there is no way to ask")
            return self._understand(
                await self._exchange.call("fetch_order", order.id, order.asset_pair)
            )
        except Refused as error:
            logger.info("%s: %s", order.id, error)
            return msgspec.structs.replace(order, status="unknown")
        except SourceError as error:
            # It says nothing of the order, which is asked for again.
            logger.info("%s: %s", order.id, error)
            return order


class Fills(Entries[TradeExecuted]):
    """Fills, as `trade_executed` in the agent's log."""

    fetch = "fetch_my_trades"
    watch = "watch_my_trades"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._told: OrderedDict[str, None] = OrderedDict()
        self._read_until = 0.0

    def _arguments(self) -> tuple[Any, ...]:
        # In milliseconds, as ccxt has times. Exchanges refuse one that is too long ago.
        return (round(1000 * max(self._read_until, time.time() - PAST_SECONDS)),)

    def _understand(self, structure: Structure) -> TradeExecuted:
        return fill_of(structure, market_of(structure, self._exchange.markets))

    async def _completed(self, found: list[TradeExecuted]) -> list[TradeExecuted]:
        # Of what was read alone: before one that was heard there may be others that were missed.
        self._read_until = max(
            self._read_until, *(fill.executed_at.timestamp() for fill in found), 0.0
        )
        return found

    def _news_of(self, found: Iterable[TradeExecuted]) -> list[Reading]:
        readings: list[Reading] = []
        for fill in sorted(found, key=lambda fill: fill.executed_at):
            name = _name_of(fill)
            if name not in self._told:
                _remember(self._told, name, None)
                key = f"fill:{self._exchange.id}:{name}"
                readings.append(Happened(self._channel, Event.TRADE_EXECUTED, fill, key=key))
        return readings


def _name_of(entry: Order | TradeExecuted) -> str:
    """What names it: some exchanges count in each market by itself."""
    return f"{entry.asset_pair}:{entry.id}"


def _remember(told: OrderedDict[str, Any], id: str, what: Any) -> None:
    told[id] = what
    told.move_to_end(id)
    while len(told) > REMEMBERED:
        told.popitem(last=False)
