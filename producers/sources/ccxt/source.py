"""An account at an exchange as a source: its parts, and the options of its sub-command.

Balance and positions, orders, and fills are parts, each of which fails by itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, ClassVar, Final, Self

import click

from producers.settings import BadSettings
from producers.sources.base import FollowingSource, Reading
from producers.sources.ccxt.account import Account
from producers.sources.ccxt.entries import Fills, Orders
from producers.sources.ccxt.exchange import BadExchange, Exchange
from producers.sources.ccxt.mapping import KNOWN_TOTALS, Total, UnknownMarket
from producers.sources.extras import require
from producers.sources.options import ACCOUNT, seconds
from producers.sources.parts import Follow, Part, Parts

INTERVAL_SECONDS: Final = 5.0
TIMEOUT_SECONDS: Final = 10.0

_DERIVATIVES: Final = ("swap", "future", "option")
_TYPES: Final = ("spot", "margin", *_DERIVATIVES)


class CcxtSource(FollowingSource):
    """One account at one exchange."""

    summary: ClassVar[str] = """Follow an account at any exchange that ccxt knows.

    Needs pip install 'tapecast[ccxt]'. The key stands in CCXT_API_KEY, its secret in CCXT_SECRET,
    or in files that CCXT_API_KEY_FILE and CCXT_SECRET_FILE name; a key that may only read is
    enough, and no other should be given.

    \b
    Examples:
      tapecast produce ccxt --exchange kraken --currency USD
      tapecast produce ccxt --exchange bybit --type swap --sandbox
      tapecast produce ccxt --exchange binance --type swap --symbol BTC/USDT:USDT
      tapecast produce ccxt --as desk-7 --config tapecast.toml    # [sources.desk-7]
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(["--exchange"], metavar="ID", required=True, help="ccxt's name of it."),
        click.Option(
            ["--type"],
            type=click.Choice(_TYPES),
            help="What is traded. [default: the exchange's own]",
        ),
        click.Option(
            ["--currency"],
            metavar="CODE",
            default="USDT",
            show_default=True,
            help="What the portfolio is counted in.",
        ),
        click.Option(
            ["--symbol"],
            metavar="SYMBOL",
            multiple=True,
            help="Ask for orders and fills of this market alone; some exchanges need it. "
            "May be repeated.",
        ),
        click.Option(["--sandbox"], is_flag=True, help="The exchange's test network: paper."),
        click.Option(["--demo"], is_flag=True, help="The exchange's demo trading: paper."),
        ACCOUNT,
        click.Option(
            ["--credentials"],
            metavar="PREFIX",
            default="CCXT",
            show_default=True,
            help="What the variables with the credentials begin with.",
        ),
        click.Option(
            ["--total"],
            type=click.Choice([each.value for each in Total]),
            help="Whether the total that the exchange names is with unrealized P&L (equity) or "
            "without (balance). [default: as is known of the exchange]",
        ),
        click.Option(
            ["--watch/--no-watch"], default=True, show_default=True, help="Use WebSockets."
        ),
        seconds("--interval", INTERVAL_SECONDS, "How often it is asked, within its rate limit."),
        seconds("--timeout", TIMEOUT_SECONDS, "How long one answer may take."),
    )
    tables: ClassVar[frozenset[str]] = frozenset({"constructor"})

    def __init__(
        self,
        exchange: Exchange,
        *,
        currency: str,
        total: Total | None,
        symbols: Sequence[str] = (),
        name: str = "ccxt",
        account: str | None = None,
        watch: bool = True,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        suffix = f":{account}" if account else ""
        self._exchange = exchange
        self._health = f"health:{name}{suffix}"
        agent = f"agent{suffix}"
        held = Account(
            exchange,
            currency=currency,
            total=total,
            portfolio=f"portfolio{suffix}",
            positions=None if total is None else f"positions{suffix}",
            interval=interval,
        )
        logs: list[tuple[str, Orders | Fills]] = [
            ("orders", Orders(exchange, agent, symbols=symbols, interval=interval, watch=watch)),
            ("fills", Fills(exchange, agent, symbols=symbols, interval=interval, watch=watch)),
        ]
        self._parts = Parts(
            [
                Part("account", held.channels, self._knowing(held.follow)),
                *(Part(how, (), held.listener(how)) for how in held.watched if watch),
                *(
                    Part(what, (agent,), self._knowing(log.follow))
                    for what, log in logs
                    if log.is_offered
                ),
            ],
            self._health,
            shown=exchange.shown,
        )

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        require("ccxt", "ccxt")
        id = options["exchange"]
        try:
            exchange = Exchange(
                id,
                environ=os.environ,
                prefix=options["credentials"],
                type=options["type"],
                sandbox=options["sandbox"],
                demo=options["demo"],
                timeout=options["timeout"],
                constructor=options["constructor"],
            )
        except (BadExchange, BadSettings) as error:
            raise click.UsageError(str(error)) from None
        names = ("currency", "name", "account", "watch", "interval")
        given = {name: options[name] for name in names}
        total = _total_of(exchange, options["total"])
        return cls(exchange, total=total, symbols=options["symbol"], **given)

    @property
    def channels(self) -> tuple[str, ...]:
        return self._parts.channels

    @property
    def health_channel(self) -> str:
        return self._health

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        async with self._exchange.connected():
            parts = self._parts.follow()
            try:
                async for batch in parts:
                    yield batch
            finally:
                await parts.aclose()

    def _knowing(self, follow: Follow) -> Follow:
        """A part that fails where it meets a market that is new, and knows it the next time."""

        async def following() -> AsyncGenerator[Sequence[Reading]]:
            try:
                async with contextlib.aclosing(follow()) as batches:
                    async for batch in batches:
                        yield batch
            except UnknownMarket:
                await self._exchange.reload_markets()
                raise

        return following


def _total_of(exchange: Exchange, given: str | None) -> Total | None:
    """What the total of a derivatives account is; None for any other account."""
    if exchange.type not in _DERIVATIVES:
        return None
    total = given or KNOWN_TOTALS.get(exchange.id)
    if total is None:
        raise click.UsageError(
            "--total: expected equity or balance, since it is not known whether the total that "
            f"{exchange.id} names has unrealized P&L in it. Compare it with the exchange's own "
            "page while a position is open."
        )
    return Total(total)
