"""producers/sources/freqtrade: a bot that speaks its API, through a worker, to Redis and a hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import click
import pytest

from hub.broker.redis import RedisBroker
from hub.client import Client, Snapshot, Update
from producers.publisher import Publisher
from producers.sources.freqtrade import FreqtradeSource
from producers.sources.freqtrade.source import MESSAGES
from producers.worker import Worker
from tests.producers.redis_view import envelopes, eventually, history, meta
from tests.producers.sources.freqtrade.bot import PASSWORD, USER, WS_TOKEN, Bot, order, trade
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey
from tests.support.web import serving

CHANNELS = ("portfolio", "positions", "decisions", "agent", "status")


@contextlib.asynccontextmanager
async def following(valkey: Valkey, bot: Bot, **options: Any) -> AsyncIterator[FreqtradeSource]:
    """A worker that follows the bot, quick in everything, until the block is left."""
    async with serving(bot) as url, Publisher(valkey.url) as publisher:
        given = {"ws_token": WS_TOKEN, "interval": 0.2, "timeout": 5.0, **options}
        source = FreqtradeSource(url, USER, given.pop("password", PASSWORD), **given)
        worker = Worker(source, publisher, first_pause=0.01, longest_pause=0.05)
        task = asyncio.create_task(worker.run())
        try:
            yield source
        finally:
            worker.stop()
            async with asyncio.timeout(20):
                await task


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr("producers.pauses.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("producers.sources.parts.Pauses", _QuickPauses)


class _QuickPauses:
    def __new__(cls) -> Any:
        from producers.pauses import Pauses

        return Pauses(0.01, 0.05)


def component(valkey: Valkey, name: str) -> tuple[str, str] | None:
    """How a part is, as the health channel has it."""
    found = history(valkey, "health:freqtrade")
    each = found[-1][1]["components"].get(name) if found else None
    return (each["state"], each["detail"] or "") if each else None


def events(valkey: Valkey, channel: str) -> list[str]:
    return [envelope.event for envelope in envelopes(valkey, channel)]


async def more_readings(bot: Bot) -> None:
    """The bot was read twice more, in full."""
    calls = len(bot.calls)
    await eventually(lambda: bot.calls[calls:].count("status") > 2, "more readings")


def value(valkey: Valkey, channel: str) -> Any:
    found = history(valkey, channel)
    return found[-1][1] if found else None


async def test_a_bot(valkey: Valkey) -> None:
    """Everything that it says is on its channel, each order once, also after a restart."""
    bot = Bot()
    bot.open.append(trade(2))
    bot.closed.append(
        trade(1, is_open=False, profit_abs=5.5,
              orders=[order("e1", "buy"), order("x1", "sell", safe_price=101.0)])
    )  # fmt: skip
    for _ in range(2):
        async with following(valkey, bot):
            await eventually(lambda: component(valkey, "account") == ("ok", ""), "the account")
            await more_readings(bot)
    portfolio = value(valkey, "portfolio")
    assert (portfolio["balance"], portfolio["realized_pnl"]) == ("1000.25", "5.5")
    assert (portfolio["mode"], portfolio["platform"]) == ("paper", "binance")
    [(_, rows)] = history(valkey, "positions")
    assert rows["upsert"]["2"]["entry_price"] == "100.5"
    decisions = [data["id"] for _, data in history(valkey, "decisions")]
    assert decisions == ["freqtrade-e1", "freqtrade-x1", "freqtrade-e2"]
    fills = [data for event, data in history(valkey, "agent") if event == "trade_executed"]
    assert [fill["id"] for fill in fills] == decisions
    assert fills[1]["realized_pnl"] == "0.05"
    assert value(valkey, "status")["totals"]["trades"] == 2
    for channel in (*CHANNELS, "health:freqtrade"):
        assert "until" in meta(valkey, channel)


async def test_a_trade_from_entry_to_exit(valkey: Valkey) -> None:
    """A decision, its execution, the position, and its end; each is told by a message."""
    bot = Bot()
    placed = order("e1", "buy", is_open=True, filled=0.0, order_filled_timestamp=None)
    async with following(valkey, bot, interval=30.0):
        await eventually(lambda: bot.links == 1 and bool(history(valkey, "portfolio")), "the start")
        bot.open.append(trade(1, open_fill_timestamp=None, orders=[placed]))
        await bot.say(type="entry", trade_id=1)
        await eventually(lambda: events(valkey, "decisions") == ["decision_made"], "a decision")
        assert events(valkey, "positions") == []
        bot.open[0] = trade(1)
        await bot.say(type="entry_fill", trade_id=1)
        await eventually(lambda: "position_opened" in events(valkey, "agent"), "the position")
        assert events(valkey, "decisions")[1:] == ["decision_updated"]
        bot.close(1, profit_abs=0.25, orders=[order("e1", "buy"), order("x1", "sell")])
        await bot.say(type="exit_fill", trade_id=1)
        await eventually(lambda: "position_closed" in events(valkey, "agent"), "its end")
        await eventually(
            lambda: value(valkey, "portfolio")["realized_pnl"] == "0.25", "what it brought"
        )
    told = [event for event in events(valkey, "agent") if event != "whitelist"]
    assert sorted(told) == [
        "position_closed", "position_opened", "trade_executed", "trade_executed",
    ]  # fmt: skip
    assert bot.subscribed == [list(MESSAGES)]


async def test_a_change_without_a_message(valkey: Valkey) -> None:
    """Without the message WebSocket a change is there within the interval."""
    bot = Bot()
    bot.ws_token = None
    async with following(valkey, bot, interval=0.1):
        await eventually(lambda: bool(history(valkey, "portfolio")), "the start")
        await eventually(lambda: component(valkey, "messages") is not None, "messages")
        bot.open.append(trade(1))
        await eventually(lambda: "position_opened" in events(valkey, "agent"), "the position")
        bot.close(1)
        await eventually(lambda: "position_closed" in events(valkey, "agent"), "its end")
        state, detail = component(valkey, "messages") or ("", "")
        assert (state, "1008" in detail or "403" in detail) == ("down", True), detail


async def test_on_a_dashboard(valkey: Valkey) -> None:
    """A change of the bot reaches a client of a hub, by a message and within the interval."""
    bot = Bot()
    async with (
        asyncio.timeout(20),
        LiveHub(RedisBroker(valkey.url)) as hub,
        following(valkey, bot),
        Client(hub.url, token()) as client,
    ):
        await eventually(lambda: bool(history(valkey, "portfolio")), "the start")
        frames = client.subscribe("positions")
        assert isinstance(await anext(frames), Snapshot)
        bot.open.append(trade(7))
        await bot.say(type="entry_fill", trade_id=7)
        while True:
            frame = await anext(frames)
            if isinstance(frame, Update) and "7" in frame.data["upsert"]:
                break


async def test_messages(valkey: Valkey) -> None:
    """Warnings are alerts, cancellations and a new white list are events; others are nothing."""
    bot = Bot()
    async with following(valkey, bot):
        await eventually(lambda: bot.links == 1, "a link")
        for pairs in (["BTC/USDT"], ["BTC/USDT"], ["ETH/USDT"]):
            await bot.say(type="whitelist", data=pairs)
        await bot.say(type="entry_cancel", trade_id=1, limit=1.10, reason="timeout")
        await bot.say(type="something_new", data={})
        await bot.say(type="warning", status="low balance")
        await eventually(lambda: events(valkey, "alerts") == ["alert"], "the alert")
    told = [each for each in history(valkey, "agent") if each[0] != "status"]
    assert [event for event, _ in told] == ["whitelist", "whitelist", "entry_cancel"]
    assert told[-1][1]["reason"] == "timeout"


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("silence", "no answer within 0.3 s"),
        ("error", "answered 500"),
        ("half", ""),
        ("garbage", "truncated"),
        ("wrong shape", "Expected"),
        ("rate limit", "answered 429, in 1 s"),
    ],
)
async def test_faults_change_nothing_but_health(valkey: Valkey, fault: str, detail: str) -> None:
    """Silence, errors, half an answer and a rate limit: what was published stays as it is, the
    part is down and its channels are not renewed; then everything is as before."""
    bot = Bot()
    bot.open.append(trade(1))
    timeout = 0.3 if fault == "silence" else 5.0
    async with following(valkey, bot, interval=0.05, timeout=timeout) as source:
        await eventually(lambda: component(valkey, "account") == ("ok", ""), "the account")
        await eventually(lambda: "position_opened" in events(valkey, "agent"), "the position")
        await eventually(lambda: value(valkey, "portfolio") is not None, "the portfolio")
        before = {channel: history(valkey, channel) for channel in ("portfolio", "positions")}
        match fault:
            case "silence":
                bot.faults.silence()
            case "error":
                bot.faults.status = 500
            case "half":
                bot.faults.half = True
            case "garbage":
                bot.faults.garbage = b'{"currencies": [{"curr'
            case "wrong shape":
                bot.faults.garbage = b'{"currencies": {"USDT": "much"}}'
            case "rate limit":
                bot.faults.status, bot.faults.headers = 429, {"retry-after": "1"}
        await eventually(lambda: (component(valkey, "account") or ("",))[0] == "down", "down")
        assert detail in (component(valkey, "account") or ("", ""))[1]
        assert not set(source.channels) & set(CHANNELS)
        for channel, entries in before.items():
            assert history(valkey, channel) == entries
        bot.faults.none()
        await eventually(lambda: component(valkey, "account") == ("ok", ""), "well again")
        for channel, entries in before.items():
            assert history(valkey, channel) == entries
        assert events(valkey, "alerts") == []
        assert set(CHANNELS) <= set(source.channels)


async def test_a_link_that_breaks(valkey: Valkey) -> None:
    """The messages are subscribed to again, and what was missed meanwhile is read."""
    bot = Bot()
    async with following(valkey, bot, interval=30.0):
        await eventually(lambda: bot.links == 1 and bool(history(valkey, "portfolio")), "the start")
        bot.open.append(trade(1))
        await bot.hang_up()
        await eventually(lambda: "position_opened" in events(valkey, "agent"), "the position")
        await eventually(lambda: bot.links == 1, "another link")
    details = [
        data["components"].get("messages") for _, data in history(valkey, "health:freqtrade")
    ]
    assert any(each and each["state"] == "down" and "1011" in each["detail"] for each in details)


async def test_a_token_that_expires(valkey: Valkey) -> None:
    """It logs in again, and nobody notices."""
    bot = Bot()
    async with following(valkey, bot, interval=0.05):
        await eventually(lambda: component(valkey, "account") == ("ok", ""), "the account")
        logins = bot.logins
        bot.expire()
        await more_readings(bot)
        assert bot.logins > logins
    states = [
        data["components"]["account"]["state"]
        for _, data in history(valkey, "health:freqtrade")
        if "account" in data["components"]
    ]
    assert set(states) == {"ok"}


async def test_the_access_token_opens_the_messages(valkey: Valkey) -> None:
    """A bot without a token of its own for them takes that of the login."""
    bot = Bot()
    bot.ws_token = None
    async with following(valkey, bot, ws_token=None):
        await eventually(lambda: bot.links == 1, "a link")


async def test_a_trade_that_is_deleted(valkey: Valkey) -> None:
    """An entry that nobody took is deleted by the bot, and no failure."""
    bot = Bot()
    placed = order("e1", "buy", is_open=True, filled=0.0, order_filled_timestamp=None)
    bot.open.append(trade(1, open_fill_timestamp=None, orders=[placed]))
    async with following(valkey, bot, interval=0.05):
        await eventually(lambda: events(valkey, "decisions") == ["decision_made"], "a decision")
        bot.open.clear()
        await eventually(lambda: "trade/1" in bot.calls, "a look at it")
        await more_readings(bot)
        assert component(valkey, "account") == ("ok", "")


async def test_secrets_are_never_shown(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password is told as one; no secret is in our logs, though everything is logged."""
    caplog.set_level(logging.DEBUG, "producers")
    caplog.set_level(logging.WARNING, "uvicorn")
    bot = Bot()
    async with following(valkey, bot, password="wrong-and-secret"):
        await eventually(lambda: (component(valkey, "account") or ("",))[0] == "down", "down")
    assert component(valkey, "account") == ("down", "the bot refused the username or password")
    async with following(valkey, bot):
        await eventually(lambda: component(valkey, "account") == ("ok", ""), "the account")
        await bot.hang_up()
        await eventually(lambda: bot.links == 1, "another link")
    for secret in ("wrong-and-secret", PASSWORD, WS_TOKEN, *bot.tokens):
        assert secret not in caplog.text
        assert secret not in str(history(valkey, "health:freqtrade"))


def options(**changes: Any) -> dict[str, Any]:
    """What the command line gives."""
    given = {"url": "http://bot:8080", "name": "freqtrade", "account": None}
    return {**given, "interval": 5.0, "timeout": 3.0, **changes}


def test_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come from the environment."""
    monkeypatch.setenv("FREQTRADE_USERNAME", USER)
    monkeypatch.setenv("FREQTRADE_PASSWORD", PASSWORD)
    source = FreqtradeSource.from_options(options(account="bot-1", name="ft"))
    assert source.health_channel == "health:ft:bot-1"


@pytest.mark.parametrize(
    ("password", "changes", "why"),
    [
        ("", {}, "expected its password in FREQTRADE_PASSWORD"),
        (PASSWORD, {"url": "bot:8080"}, "expected http://HOST:PORT"),
        (PASSWORD, {"url": "http://me:hush@bot"}, "without user or password"),
    ],
)
def test_wrong_options(
    monkeypatch: pytest.MonkeyPatch, password: str, changes: dict[str, Any], why: str
) -> None:
    """Wrong use is told before anything is asked, and without a secret."""
    monkeypatch.setenv("FREQTRADE_USERNAME", USER)
    monkeypatch.setenv("FREQTRADE_PASSWORD", password)
    with pytest.raises(click.UsageError, match=why) as raised:
        FreqtradeSource.from_options(options(**changes))
    assert "hush" not in str(raised.value)


def test_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr("producers.sources.extras.find_spec", lambda module: None)
    with pytest.raises(click.UsageError, match=r"pip install 'tapecast\[freqtrade\]'"):
        FreqtradeSource.from_options(options())
