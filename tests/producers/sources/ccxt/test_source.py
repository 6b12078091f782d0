"""producers/sources/ccxt: ccxt itself against an exchange that speaks Bybit's API, as a process.

What is told to Redis, and from there to a hub's client, is looked at; ccxt is installed in a folder
of its own, see tests/support/ccxt_libraries.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from hub.broker.redis import RedisBroker
from hub.client import Client, Snapshot, Update
from producers.sources.ccxt import CcxtSource
from tests.producers.redis_view import envelopes, eventually, history, meta
from tests.producers.sources.ccxt.bybit import KEY, SECRET, Bybit, execution, order, position
from tests.support.ccxt_libraries import environ
from tests.support.livehub import LiveHub, token
from tests.support.valkey import Valkey
from tests.support.web import serving

# The first test on a machine installs ccxt.
pytestmark = pytest.mark.timeout(240)


def toml(table: Mapping[str, Any], name: str) -> str:
    """A table, and those within it."""
    values = [f"{key} = {json.dumps(each)}" for key, each in table.items()
              if not isinstance(each, Mapping)]  # fmt: skip
    within = [toml(each, f"{name}.{key}") for key, each in table.items()
              if isinstance(each, Mapping)]  # fmt: skip
    return "\n".join([f"[{name}]", *values, *within])


class Desk:
    """The exchange, and a process that follows an account there."""

    def __init__(self, exchange: Bybit, said: Path) -> None:
        self.exchange = exchange
        self._said = said

    @property
    def said(self) -> str:
        """What the process has written."""
        return self._said.read_text()


@contextlib.asynccontextmanager
async def following(
    valkey: Valkey, exchange: Bybit, tmp_path: Path, *arguments: str, **variables: str
) -> AsyncIterator[Desk]:
    """`tapecast produce ccxt`, until the block is left."""
    given = {"CCXT_API_KEY": KEY, "CCXT_SECRET": SECRET, **variables}
    async with serving(exchange) as url:
        config = tmp_path / "tapecast.toml"
        options = {"exchange": "bybit", "type": "swap", "interval": 0.2, "timeout": 5.0}
        config.write_text(toml({**options, "constructor": exchange.config(url)}, "sources.ccxt"))
        said = tmp_path / "said"
        with said.open("w") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hub.cli", "produce", "ccxt", "--config", str(config),
                "--redis", valkey.url, *arguments,
                env=environ(**given), stdout=file, stderr=file,
            )  # fmt: skip
            try:
                yield Desk(exchange, said)
                process.terminate()
                async with asyncio.timeout(20):
                    assert await process.wait() == 0, said.read_text()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def component(valkey: Valkey, name: str) -> tuple[str, str]:
    """How a part is, as the health channel has it."""
    found = history(valkey, "health:ccxt")
    each = found[-1][1]["components"].get(name) if found else None
    return (each["state"], each["detail"] or "") if each else ("", "")


def value(valkey: Valkey, channel: str) -> Any:
    found = history(valkey, channel)
    return found[-1][1] if found else None


def told(valkey: Valkey, event: str) -> list[Any]:
    return [data for each, data in history(valkey, "agent") if each == event]


async def well(valkey: Valkey, *parts: str) -> None:
    """Return when these parts are well."""
    for part in parts or ("account", "orders", "fills"):
        await eventually(lambda part=part: component(valkey, part) == ("ok", ""), part)  # type: ignore[misc]


async def test_an_account(valkey: Valkey, tmp_path: Path) -> None:
    """What it holds is on its channels, to the last digit; orders and fills once each, also after
    a restart."""
    exchange = Bybit()
    exchange.positions.append(position())
    exchange.orders.append(order("o1"))
    exchange.executions.append(execution("x1"))
    for _ in range(2):
        async with following(valkey, exchange, tmp_path):
            await well(valkey)
            readings = exchange.calls.count("position/list")
            await eventually(
                lambda readings=readings: exchange.calls.count("position/list") > readings + 2,  # type: ignore[misc]
                "more readings",
            )
    assert [data for _, data in history(valkey, "portfolio")] == [
        {"balance": "1000.10", "equity": "1000.60", "available": "995.095", "exposure": "50.550",
         "realized_pnl": None, "unrealized_pnl": "0.50", "positions_count": 1, "currency": "USDT",
         "platform": "bybit", "mode": "live"}
    ]  # fmt: skip
    [(_, rows)] = history(valkey, "positions")
    assert rows["upsert"]["BTC/USDT:USDT:long"]["entry_price"] == "100.10"
    [placed] = told(valkey, "order_updated")
    assert (placed["id"], placed["asset_pair"], placed["price"]) == ("o1", "BTC/USDT:USDT", "99.50")
    [fill] = told(valkey, "trade_executed")
    assert (fill["id"], fill["price"], fill["fee"]) == ("x1", "100.10", "0.0275")
    assert exchange.refused == 0
    for channel in ("portfolio", "positions", "agent", "health:ccxt"):
        assert "until" in meta(valkey, channel)


async def test_on_a_dashboard(valkey: Valkey, tmp_path: Path) -> None:
    """An order that is filled reaches a hub's client by the exchange's WebSocket: order, fill,
    position and portfolio, though nothing is asked for half an hour."""
    exchange = Bybit()
    exchange.orders.append(order("o7"))
    async with (
        LiveHub(RedisBroker(valkey.url)) as hub,
        following(valkey, exchange, tmp_path, "--interval", "1800"),
        asyncio.timeout(30),
        Client(hub.url, token()) as client,
    ):
        await well(valkey, "account", "orders", "fills", "watch_positions", "watch_balance")
        assert exchange.topics == {"order", "execution", "position", "wallet"}
        frames = client.subscribe("positions")
        assert isinstance(await anext(frames), Snapshot)
        await exchange.fill("o7")
        while True:
            frame = await anext(frames)
            if isinstance(frame, Update) and "BTC/USDT:USDT:long" in frame.data["upsert"]:
                break
        await eventually(lambda: len(told(valkey, "position_opened")) == 1, "the position")
        await eventually(lambda: len(told(valkey, "trade_executed")) == 1, "the fill")
        await eventually(lambda: told(valkey, "order_updated")[-1]["status"] == "closed", "order")
        await eventually(lambda: value(valkey, "portfolio")["positions_count"] == 1, "portfolio")


async def test_without_watching(valkey: Valkey, tmp_path: Path) -> None:
    """By polling alone a change is there within the interval; an order that is gone is told."""
    exchange = Bybit()
    exchange.orders.append(order("o7"))
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await well(valkey)
        await exchange.fill("o7")
        await eventually(lambda: len(told(valkey, "position_opened")) == 1, "the position")
        await eventually(lambda: len(told(valkey, "trade_executed")) == 1, "the fill")
        await eventually(lambda: len(told(valkey, "order_updated")) == 2, "the order's end")
        exchange.positions.clear()
        await eventually(lambda: len(told(valkey, "position_closed")) == 1, "its end")
    assert exchange.topics == set()
    assert told(valkey, "order_updated")[-1]["status"] == "unknown"


async def test_the_sandbox(valkey: Valkey, tmp_path: Path) -> None:
    """It is paper; anything else is live, as above."""
    exchange = Bybit()
    async with following(valkey, exchange, tmp_path, "--sandbox"):
        await eventually(lambda: value(valkey, "portfolio") is not None, "the portfolio")
    assert value(valkey, "portfolio")["mode"] == "paper"


async def test_a_spot_account(valkey: Valkey, tmp_path: Path) -> None:
    """Coins count at their last price; there is no table of positions, and no total to ask for."""
    exchange = Bybit()
    exchange.coins = {"BTC": "0.50", "DUST": "3"}
    async with following(valkey, exchange, tmp_path, "--type", "spot", "--account", "cash") as desk:
        await eventually(lambda: value(valkey, "portfolio:cash") is not None, "the portfolio")
        await eventually(lambda: "not in the equity" in desk.said, "what is not valued")
    portfolio = value(valkey, "portfolio:cash")
    assert (portfolio["equity"], portfolio["exposure"]) == ("1050.3500", "50.2500")
    assert meta(valkey, "positions:cash") == {}
    assert "having no price in USDT: DUST" in desk.said


async def test_a_price_that_is_missing(valkey: Valkey, tmp_path: Path) -> None:
    """A coin that counted goes on counting: without its price nothing is published, where it was
    left out of the equity."""
    exchange = Bybit()
    exchange.coins = {"BTC": "0.50"}
    async with following(valkey, exchange, tmp_path, "--type", "spot", "--no-watch"):
        await eventually(lambda: value(valkey, "portfolio") is not None, "the portfolio")
        exchange.prices.clear()
        await eventually(lambda: component(valkey, "account")[0] == "down", "down")
        assert "a price of BTC" in component(valkey, "account")[1]
        exchange.prices["BTCUSDT"] = "101.50"
        await eventually(lambda: len(history(valkey, "portfolio")) == 2, "another price")
    assert [data["equity"] for _, data in history(valkey, "portfolio")] == [
        "1050.3500",
        "1050.8500",
    ]


async def test_digits_of_numbers(valkey: Valkey, tmp_path: Path) -> None:
    """An amount that the exchange writes as a number keeps its digits too; ccxt made a float."""
    exchange = Bybit()
    exchange.faults.only = "wallet-balance"
    coin = '{"coin": "USDT", "walletBalance": 1000.1234567890123456789, "locked": 0}'
    exchange.faults.garbage = f"""{{"retCode": 0, "retMsg": "OK", "result":
        {{"list": [{{"accountType": "UNIFIED", "coin": [{coin}]}}]}}}}""".encode()
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await eventually(lambda: value(valkey, "portfolio") is not None, "the portfolio")
    assert value(valkey, "portfolio")["balance"] == "1000.1234567890123456789"


async def test_a_market_that_is_new(valkey: Valkey, tmp_path: Path) -> None:
    """A position in it is there with the next reading; the account failed until a restart."""
    exchange = Bybit()
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await well(valkey)
        exchange.markets.append("NEW")
        exchange.positions.append(position("NEWUSDT"))
        await eventually(lambda: len(told(valkey, "position_opened")) == 1, "the position")
        await well(valkey)
    assert told(valkey, "position_opened")[0]["asset_pair"] == "NEW/USDT:USDT"


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("silence", "RequestTimeout"),
        ("error", "ExchangeNotAvailable"),
        ("half", ""),
        ("garbage", "BadResponse"),
        ("nothing", "ExchangeError"),
        ("rate limit", "RateLimitExceeded"),
        ("the exchange's own rate limit", "RateLimitExceeded"),
    ],
)
async def test_faults_change_nothing_but_health(
    valkey: Valkey, tmp_path: Path, fault: str, detail: str
) -> None:
    """Silence, errors, half an answer, an empty one and a rate limit: no position is closed by
    them, no number changed; the part is down, and afterwards everything is as before."""
    exchange = Bybit()
    exchange.positions.append(position())
    timeout = "0.5" if fault == "silence" else "5"
    async with following(valkey, exchange, tmp_path, "--no-watch", "--timeout", timeout):
        await well(valkey)
        await eventually(lambda: len(told(valkey, "position_opened")) == 1, "the position")
        await eventually(lambda: value(valkey, "portfolio") is not None, "the portfolio")
        before = {each: history(valkey, each) for each in ("portfolio", "positions", "agent")}
        faults = exchange.faults
        match fault:
            case "silence":
                faults.silence()
            case "error":
                faults.status = 500
            case "half":
                faults.half = True
            case "garbage":
                faults.garbage = b'{"retCode": 0, "result": {"list": ['
            case "nothing":
                faults.garbage = b"{}"
            case "rate limit":
                faults.status, faults.headers = 429, {"retry-after": "1"}
            case _:
                faults.garbage = b'{"retCode": 10006, "retMsg": "Too many visits!"}'
                faults.headers = {"retry-after": "1"}
        await eventually(lambda: component(valkey, "account")[0] == "down", "down")
        assert any(detail in component(valkey, part)[1] for part in ("account", "orders", "fills"))
        last_sign = meta(valkey, "portfolio")["until"]
        await eventually(lambda: component(valkey, "fills")[0] == "down", "the fills too")
        assert meta(valkey, "portfolio")["until"] == last_sign
        faults.none()
        await well(valkey)
        await eventually(lambda: meta(valkey, "portfolio")["until"] > last_sign, "a renewal")
        for channel, entries in before.items():
            assert history(valkey, channel) == entries


async def test_half_a_list_closes_no_position(valkey: Valkey, tmp_path: Path) -> None:
    """ccxt takes a list of positions that breaks off for an empty one, and hands that on."""
    exchange = Bybit()
    exchange.positions.append(position())
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await well(valkey)
        exchange.faults.only = "position/list"
        exchange.faults.garbage = b'{"retCode": 0, "result": {"list": ['
        exchange.faults.headers = {"content-type": "text/plain"}
        await eventually(lambda: component(valkey, "account")[0] == "down", "down")
        assert "answered no JSON" in component(valkey, "account")[1]
        exchange.faults.none()
        await well(valkey)
    assert told(valkey, "position_closed") == []


async def test_a_rate_limit_is_obeyed(valkey: Valkey, tmp_path: Path) -> None:
    """While the exchange wants to be left alone, no part asks it."""
    exchange = Bybit()
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await well(valkey)
        exchange.faults.status, exchange.faults.headers = 429, {"retry-after": "600"}
        await eventually(lambda: component(valkey, "account")[0] == "down", "down")
        for part in ("orders", "fills"):
            await eventually(lambda part=part: component(valkey, part)[0] == "down", part)  # type: ignore[misc]
        exchange.faults.none()
        calls = len(exchange.calls)
        changes = len(envelopes(valkey, "health:ccxt"))
        async with asyncio.timeout(20):
            # Renewals go on, which shows that time passed.
            until = meta(valkey, "health:ccxt")["until"]
            await eventually(lambda: meta(valkey, "health:ccxt")["until"] > until, "a renewal")
        assert len(exchange.calls) == calls
        assert len(envelopes(valkey, "health:ccxt")) == changes
    details = [component(valkey, part)[1] for part in ("account", "orders", "fills")]
    assert all("RateLimitExceeded" in each or "without requests" in each for each in details)


async def test_a_part_fails_by_itself(valkey: Valkey, tmp_path: Path) -> None:
    """Without its fills the account goes on."""
    exchange = Bybit()
    exchange.faults.only, exchange.faults.status = "execution", 500
    async with following(valkey, exchange, tmp_path, "--no-watch"):
        await eventually(lambda: component(valkey, "fills")[0] == "down", "the fills")
        await well(valkey, "account", "orders")
        exchange.wallet = "2000.20"
        await eventually(lambda: value(valkey, "portfolio")["balance"] == "2000.20", "a change")


async def test_a_link_that_breaks(valkey: Valkey, tmp_path: Path) -> None:
    """What happened meanwhile is read, and the exchange is watched again."""
    exchange = Bybit()
    exchange.orders.append(order("o7"))
    async with following(valkey, exchange, tmp_path, "--interval", "1800"):
        await well(valkey, "account", "orders", "fills", "watch_positions")
        await exchange.hang_up()
        await exchange.fill("o7")
        await eventually(lambda: len(told(valkey, "trade_executed")) == 1, "the fill")
        await eventually(lambda: len(told(valkey, "position_opened")) == 1, "the position")
        await well(valkey, "account", "orders", "fills", "watch_positions")
        exchange.orders.append(order("o8"))
        await exchange.say("order", order("o8"))
        await eventually(lambda: told(valkey, "order_updated")[-1]["id"] == "o8", "another order")


async def test_secrets_are_never_shown(valkey: Valkey, tmp_path: Path) -> None:
    """A refused key is told as one, and neither key nor secret nor signature anywhere."""
    exchange = Bybit()
    wrong = {"CCXT_API_KEY": "another-api-key", "CCXT_SECRET": "wrong-and-secret"}
    async with following(valkey, exchange, tmp_path, **wrong) as desk:
        await eventually(lambda: "AuthenticationError" in desk.said, "what is wrong")
        await eventually(lambda: component(valkey, "source")[0] == "down" or
                         component(valkey, "account")[0] == "down", "health")  # fmt: skip
        exchange.faults.status = 500
        await eventually(lambda: "ExchangeNotAvailable" in desk.said, "an error with its URL")
    everything = desk.said + str(history(valkey, "health:ccxt"))
    for secret in (*wrong.values(), "X-BAPI", "signature"):
        assert secret not in everything


async def test_credentials_from_files(valkey: Valkey, tmp_path: Path) -> None:
    """As container secrets come, under a prefix of their own."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    files = {"DESK_API_KEY_FILE": str(tmp_path / "key"),
             "DESK_SECRET_FILE": str(tmp_path / "secret")}  # fmt: skip
    exchange = Bybit()
    async with following(valkey, exchange, tmp_path, "--credentials", "DESK", **files):
        await well(valkey, "account")
    assert exchange.refused == 0


# Wrong use


CREDENTIALS = {"CCXT_API_KEY": KEY, "CCXT_SECRET": SECRET}
WRONG: list[tuple[str, dict[str, str], str]] = [
    ("", {}, "Missing option '--exchange'"),
    ("--exchange bybt", {}, "ccxt has no exchange 'bybt'"),
    ("--exchange byb", {}, "Did you mean bybit"),
    ("--exchange bybit", {}, "expected the credentials of bybit in CCXT_API_KEY, CCXT_SECRET"),
    ("--exchange bybit", {"CCXT_SECRET": "s", "CCXT_SECRET_FILE": "f"}, "got both"),
    ("--exchange htx --type swap", CREDENTIALS, "--total: expected equity or balance"),
    ("--exchange kraken --type swap", CREDENTIALS, "kraken has no swap that ccxt knows, but spot"),
    ("--exchange luno --sandbox", CREDENTIALS, "luno has no sandbox that ccxt knows"),
    ("--exchange luno --demo", CREDENTIALS, "luno has no demo trading that ccxt knows"),
    ("--exchange bybit --as leaky", {}, "apiKey does not belong into a file that is shared"),
]

# Each in one process: loading ccxt takes a second.
LOOK_AT = """
import json
from producers.sources.ccxt.exchange import Exchange
key = {"CCXT_API_KEY": "k", "CCXT_SECRET": "s"}
found = {id: Exchange(id, environ=key) for id in ("krakenfutures", "binancecoinm", "bybit")}
types = {id: each.type for id, each in found.items()}
binance = Exchange("binance", environ=key, type="swap")
print(json.dumps([types, binance.ccxt.options["watchPositions"]]))
"""
TRY_ALL = """
import json, sys
from click.testing import CliRunner
from producers.cli import produce
for arguments, variables in json.load(sys.stdin):
    done = CliRunner().invoke(produce, ["ccxt", *arguments], env=variables)
    print(json.dumps([done.exit_code, done.stderr]))
"""


def test_wrong_options(tmp_path: Path) -> None:
    """Wrong use is told before anything is asked, with status 2."""
    config = tmp_path / "tapecast.toml"
    config.write_text('[sources.leaky.constructor]\napiKey = "k"\n')
    common = ["--redis", "redis://127.0.0.1:1", "--config", str(config)]
    cases = [[[*common, *arguments.split()], variables] for arguments, variables, _ in WRONG]
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL], input=json.dumps(cases), env=environ(),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(WRONG), done.stderr
    for (arguments, _, why), (status, said) in zip(WRONG, answers, strict=True):
        assert status == 2, (arguments, said)
        assert why in " ".join(said.split()), arguments
        assert SECRET not in said


def test_how_exchanges_are_made() -> None:
    """Those of derivatives alone are taken for that; and no watch waits for a snapshot of ccxt's,
    which fails at Binance."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK_AT], env=environ(), capture_output=True, text=True, timeout=60
    )
    types, watching = json.loads(done.stdout or done.stderr)
    assert types == {"krakenfutures": "swap", "binancecoinm": "swap", "bybit": "swap"}
    assert watching["fetchPositionsSnapshot"] is watching["awaitPositionsSnapshot"] is False


def test_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr("producers.sources.extras.find_spec", lambda module: None)
    with pytest.raises(click.UsageError, match=r"pip install 'tapecast\[ccxt\]'"):
        CcxtSource.from_options({})
