"""A freqtrade bot as a source.

The rules:

1. What is published is read over REST: it is whole, and what was missed is there the next time. A
   message on the WebSocket is the reason to read now, instead of when the interval is over.
2. Balance and open trades are read each time. Profits and the bot's state are where something
   happened: after a message, when the set of open trades is another, and now and then.
3. An order is handed over when it is new or changed. A trade that is not open any more is read once
   more by its number, for its last orders; at the start, so are the latest closed ones.
4. Warnings, failures and locks are messages alone: those that come while the WebSocket is away are
   not heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit

import click
import msgspec

from producers.errors import SourceGone
from producers.events import Event
from producers.settings import BadSettings
from producers.sources.base import (
    TIMEOUT_SECONDS,
    Decided,
    FollowingSource,
    Happened,
    Positions,
    Reading,
    Relayed,
    State,
)
from producers.sources.credentials import read_secret, require_secret, without_secrets
from producers.sources.extras import require
from producers.sources.freqtrade.api import Api
from producers.sources.freqtrade.mapping import (
    Balance,
    Config,
    Order,
    Profit,
    Trade,
    Trades,
    alert_of,
    decision_of,
    fill_of,
    is_position,
    portfolio_of,
    position_of,
    status_of,
)
from producers.sources.options import ACCOUNT, seconds
from producers.sources.parts import News, Part, Parts

logger = logging.getLogger(__name__)

DEFAULT_URL: Final = "http://127.0.0.1:8080"
INTERVAL_SECONDS: Final = 5.0
SELDOM_SECONDS: Final = 30.0
LATEST: Final = 100
"""Closed trades that are read at the start."""

# Those that tell of an order, and so of a new state.
_ORDERS: Final = ("entry", "entry_fill", "entry_cancel", "exit", "exit_fill", "exit_cancel")
_TELLING: Final = (*_ORDERS, "status", "startup")
_RELAYED: Final = ("entry_cancel", "exit_cancel", "whitelist")
"""What has no event of Tapecast's: published to the agent's log as it is."""
MESSAGES: Final = (
    *_ORDERS, "status", "startup", "warning", "exception", "strategy_msg", "whitelist",
    "protection_trigger", "protection_trigger_global",
)  # fmt: skip
"""What is subscribed to. `analyzed_df` and `new_candle` are market data, and large."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class FreqtradeSource(FollowingSource):
    """One freqtrade bot."""

    summary: ClassVar[str] = """Follow a freqtrade bot, dry run or live.

    Its REST API gives portfolio, positions, decisions (its orders), fills and status; its
    messages say when to look. FREQTRADE_USERNAME and FREQTRADE_PASSWORD are those of its
    api_server, or name files with _FILE; FREQTRADE_WS_TOKEN is its ws_token, where it has one.

    \b
    Examples:
      tapecast produce freqtrade
      tapecast produce freqtrade --url http://10.0.0.7:8080 --interval 2
      tapecast produce freqtrade --account bot-1      # publishes portfolio:bot-1, ...
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(
            ["--url"], metavar="URL", default=DEFAULT_URL, show_default=True, help="Of the bot."
        ),
        ACCOUNT,
        seconds(
            "--interval",
            INTERVAL_SECONDS,
            "How often it is asked, where no message says that there is something new.",
        ),
        seconds("--timeout", TIMEOUT_SECONDS, "How long one answer may take."),
    )

    def __init__(
        self,
        url: str,
        username: str,
        password: str,
        *,
        ws_token: str | None = None,
        name: str = "freqtrade",
        account: str | None = None,
        interval: float = INTERVAL_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        suffix = f":{account}" if account else ""
        self._api = Api(url, username, password, ws_token=ws_token, timeout=timeout)
        self._interval = interval
        self._now = now
        self._portfolio = f"portfolio{suffix}"
        self._positions = f"positions{suffix}"
        self._decisions = f"decisions{suffix}"
        self._agent = f"agent{suffix}"
        self._alerts = f"alerts{suffix}"
        self._status = f"status{suffix}"
        self._health = f"health:{name}{suffix}"
        published = (
            self._portfolio, self._positions, self._decisions, self._agent, self._status,
        )  # fmt: skip
        secrets = [password, *([ws_token] if ws_token else [])]
        self._parts = Parts(
            [Part("account", published, self._follow_account), Part("messages", (), self._listen)],
            self._health,
            shown=lambda text: without_secrets(text, secrets),
        )
        self._news = News()
        self._told: dict[str, Order] = {}

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        require("httpx", "freqtrade")
        parts = urlsplit(options["url"])
        if parts.scheme not in ("http", "https") or "@" in parts.netloc:
            raise click.UsageError("--url: expected http://HOST:PORT, without user or password")
        try:
            username = require_secret(os.environ, "FREQTRADE_USERNAME", "the bot's username")
            password = require_secret(os.environ, "FREQTRADE_PASSWORD", "its password")
            ws_token = read_secret(os.environ, "FREQTRADE_WS_TOKEN")
        except BadSettings as error:
            raise click.UsageError(str(error)) from None
        names = ("url", "name", "account", "interval", "timeout")
        given = {name: options[name] for name in names}
        return cls(username=username, password=password, ws_token=ws_token, **given)

    @property
    def channels(self) -> tuple[str, ...]:
        return self._parts.channels

    @property
    def health_channel(self) -> str:
        return self._health

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        async with self._api:
            parts = self._parts.follow()
            try:
                async for batch in parts:
                    yield batch
            finally:
                await parts.aclose()

    async def _follow_account(self) -> AsyncGenerator[Sequence[Reading]]:
        api = self._api
        self._told.clear()
        open_before: set[int] = set()
        latest = await self._latest()
        seldom_until = 0.0
        now = asyncio.get_running_loop().time
        while True:
            happened = self._news.take()
            balance, trades = await asyncio.gather(
                api.get("balance", Balance), api.get("status", list[Trade])
            )
            open_now = {trade.trade_id for trade in trades}
            if happened or open_now != open_before or now() >= seldom_until:
                profit, config = await asyncio.gather(
                    api.get("profit", Profit), api.get("show_config", Config)
                )
                seldom_until = now() + SELDOM_SECONDS
            gone = [await self._closed(id) for id in sorted(open_before - open_now)]
            held = tuple(position_of(trade) for trade in trades if is_position(trade))
            yield [
                *self._orders([*latest, *filter(None, gone), *trades]),
                Positions(self._positions, held),
                State(self._portfolio, portfolio_of(balance, trades, profit, config)),
                State(self._status, status_of(profit, config, self._utc())),
            ]
            latest, open_before = [], open_now
            await self._news.wait(self._interval)

    async def _latest(self) -> list[Trade]:
        """The latest closed trades; they come by number, the oldest first."""
        total = (await self._api.get("trades", Trades, limit=1)).total_trades
        offset = max(0, total - LATEST)
        return (await self._api.get("trades", Trades, limit=LATEST, offset=offset)).trades

    async def _closed(self, trade_id: int) -> Trade | None:
        try:
            return await self._api.get(f"trade/{trade_id}", Trade)
        except SourceGone:
            # One whose entry nobody took is deleted.
            return None

    def _orders(self, trades: Iterable[Trade]) -> list[Reading]:
        """The decisions and fills of orders that are new or changed."""
        readings: list[Reading] = []
        known: dict[str, Order] = {}
        for trade in trades:
            for order in trade.orders:
                known[order.order_id] = order
                if self._told.get(order.order_id) == order:
                    continue
                readings.append(Decided(self._decisions, decision_of(trade, order)))
                fill = fill_of(trade, order)
                if fill is not None:
                    readings.append(
                        Happened(self._agent, Event.TRADE_EXECUTED, fill, key=f"fill:{fill.id}")
                    )
        # What is not open any more has said its last.
        self._told = known
        return readings

    async def _listen(self) -> AsyncGenerator[Sequence[Reading]]:
        async with contextlib.aclosing(self._api.messages(MESSAGES)) as messages:
            async for message in messages:
                # None first: whatever was missed before is read now.
                if message is None or message.get("type") in _TELLING:
                    self._news.tell()
                yield [] if message is None else self._readings_of(message)

    def _readings_of(self, message: dict[str, Any]) -> list[Reading]:
        kind = message.get("type")
        alert = alert_of(message)
        if alert is not None:
            return [Happened(self._alerts, Event.ALERT, alert)]
        if kind not in _RELAYED:
            return []
        # The white list comes over and over, and is news when it differs.
        key = "whitelist" if kind == "whitelist" else ""
        return [Relayed(self._agent, str(kind), msgspec.Raw(_encode(message)), key=key)]

    def _utc(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)
