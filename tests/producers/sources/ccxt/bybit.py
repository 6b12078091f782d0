"""An exchange that speaks Bybit's API, version 5, as far as ccxt asks for it: REST and WebSocket.

A test says what the account holds, and what is wrong with the exchange. Signatures are checked, so
that what reaches it is what Bybit would take.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support.web import Faults

KEY, SECRET = "the-api-key", "the-secret-of-the-key"


def position(symbol: str = "BTCUSDT", **fields: Any) -> dict[str, Any]:
    """An open long position."""
    return {
        "positionIdx": 0, "riskId": 1, "symbol": symbol, "side": "Buy", "size": "0.50",
        "avgPrice": "100.10", "positionValue": "50.05", "leverage": "10", "markPrice": "101.10",
        "unrealisedPnl": "0.50", "positionIM": "5.005", "positionMM": "0.25", "liqPrice": "",
        "createdTime": "1700000000000", "updatedTime": "1700000000001", **fields,
    }  # fmt: skip


def order(id: str, **fields: Any) -> dict[str, Any]:
    """An open order to buy."""
    return {
        "symbol": "BTCUSDT", "orderId": id, "orderLinkId": "", "side": "Buy", "orderType": "Limit",
        "positionIdx": 0, "price": "99.50", "qty": "0.10", "orderStatus": "New", "cumExecQty": "0",
        "leavesQty": "0.10", "cumExecValue": "0", "avgPrice": "", "timeInForce": "GTC",
        "reduceOnly": False, "createdTime": "1700000000000", "updatedTime": "1700000000000",
        "tpslMode": "", "category": "linear", **fields,
    }  # fmt: skip


def execution(id: str, **fields: Any) -> dict[str, Any]:
    """A fill of now."""
    return {
        "symbol": "BTCUSDT", "execId": id, "orderId": "o1", "orderLinkId": "", "side": "Buy",
        "execPrice": "100.10", "execQty": "0.50", "execValue": "50.05", "execFee": "0.0275",
        "feeRate": "0.00055", "feeCurrency": "USDT", "execType": "Trade", "orderType": "Limit",
        "isMaker": False, "execTime": str(round(1000 * time.time())), "category": "linear",
        "createType": "CreateByUser", **fields,
    }  # fmt: skip


class Bybit:
    """The exchange, with one account."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.wallet = "1000.10"
        self.coins: dict[str, str] = {}
        self.positions: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.executions: list[dict[str, Any]] = []
        self.prices = {"BTCUSDT": "100.50"}
        self.markets = ["BTC"]
        self.calls: list[str] = []
        self.topics: set[str] = set()
        self.refused = 0
        self._links: set[WebSocket] = set()
        paths = (
            "market/instruments-info", "market/tickers", "market/time", "asset/coin/query-info",
            "user/query-api", "account/info", "account/wallet-balance", "position/list",
            "order/realtime", "order/history", "execution/list",
        )  # fmt: skip
        self._app = Starlette(
            routes=[
                *(Route(f"/v5/{path}", self._answer) for path in paths),
                WebSocketRoute("/v5/private", self._private),
            ]
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.faults(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def config(self, url: str) -> dict[str, Any]:
        """What ccxt is to know to find this exchange, in place of Bybit and of its test network."""
        link = url.replace("http", "ws") + "/v5/private"
        private = {"spot": {"unified": link}, "contract": link}
        api = {"public": url, "private": url, "ws": {"private": private}}
        # Whatever has a URL of its own must not be asked for by accident.
        nowhere = dict.fromkeys(("spot", "futures", "v2"), url)
        urls = {"api": {**nowhere, **api}, "test": {**nowhere, **api}}
        types = {"types": ["spot", "linear"]}
        return {"urls": urls, "options": {"fetchMarkets": types}}

    async def say(self, topic: str, *data: dict[str, Any]) -> None:
        """Send a message to whoever has subscribed to its topic."""
        message = {"topic": topic, "creationTime": round(1000 * time.time()), "data": list(data)}
        for link in list(self._links):
            await link.send_text(json.dumps(message))

    async def hang_up(self) -> None:
        """Close the private links."""
        for link in list(self._links):
            self._links.discard(link)
            await link.close(1011)

    async def fill(self, id: str) -> None:
        """An order is taken: what there is afterwards, and the messages of it."""
        [taken] = [each for each in self.orders if each["orderId"] == id]
        self.orders.remove(taken)
        done = {**taken, "orderStatus": "Filled", "cumExecQty": taken["qty"], "leavesQty": "0"}
        executed = execution(f"x-{id}", orderId=id, execQty=taken["qty"], execPrice=taken["price"])
        held = position(size=taken["qty"], avgPrice=taken["price"])
        self.executions.append(executed)
        self.positions = [held]
        await self.say("order", done)
        await self.say("execution", executed)
        await self.say("position", {**held, "entryPrice": held["avgPrice"], "category": "linear"})

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/v5/")
        self.calls.append(path)
        if not path.startswith("market/") and not self._is_signed(request):
            self.refused += 1
            return JSONResponse({"retCode": 10004, "retMsg": "error sign!", "result": {}})
        query = request.query_params
        result = self._result(path, query.get("category", ""), query.get("startTime"))
        return JSONResponse({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {},
                             "time": round(1000 * time.time())})  # fmt: skip

    def _result(self, path: str, category: str, since: str | None) -> Any:
        match path:
            case "market/instruments-info":
                listed = [_instrument(category, base) for base in self.markets]
                return {"category": category, "list": listed, "nextPageCursor": ""}
            case "market/tickers":
                tickers = [
                    {"symbol": each, "lastPrice": price} for each, price in self.prices.items()
                ]
                return {"category": category, "list": tickers}
            case "market/time":
                return {"timeSecond": str(int(time.time())), "timeNano": str(time.time_ns())}
            case "asset/coin/query-info":
                return {"rows": []}
            case "user/query-api":
                return {"unified": 0, "uta": 1}
            case "account/info":
                return {"unifiedMarginStatus": 6}
            case "account/wallet-balance":
                coins = {"USDT": self.wallet, **self.coins}
                held = [
                    {"coin": coin, "walletBalance": amount, "equity": amount, "locked": "0",
                     "totalOrderIM": "0", "totalPositionIM": "5.005", "unrealisedPnl": "0.5"}
                    for coin, amount in coins.items()
                ]  # fmt: skip
                return {"list": [{"accountType": "UNIFIED", "coin": held}]}
            case "position/list":
                return {"category": category, "list": self.positions, "nextPageCursor": ""}
            case "order/realtime":
                return {"category": category, "list": self.orders, "nextPageCursor": ""}
            case "execution/list":
                found = [each for each in self.executions if each["execTime"] >= (since or "")]
                return {"category": category, "list": found, "nextPageCursor": ""}
        return {"list": []}

    def _is_signed(self, request: Request) -> bool:
        headers = request.headers
        stamp, window = headers.get("x-bapi-timestamp", ""), headers.get("x-bapi-recv-window", "")
        signed = f"{stamp}{KEY}{window}{request.url.query}"
        expected = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()
        given = headers.get("x-bapi-sign", "")
        return headers.get("x-bapi-api-key") == KEY and hmac.compare_digest(given, expected)

    async def _private(self, link: WebSocket) -> None:
        await link.accept()
        try:
            while True:
                request = json.loads(await link.receive_text())
                match request:
                    case {"op": "auth", "args": [key, expires, signature]}:
                        signed = f"GET/realtime{expires}".encode()
                        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
                        success = key == KEY and signature == expected
                        await _reply(link, success=success, ret_msg="", op="auth", conn_id="c")
                    case {"op": "subscribe", "args": topics}:
                        self.topics |= set(topics)
                        self._links.add(link)
                        reply = {"success": True, "ret_msg": "", "op": "subscribe"}
                        await _reply(link, **reply, req_id=request.get("req_id", ""))
                    case {"op": "ping"}:
                        await _reply(link, success=True, ret_msg="pong", op="ping")
        except (WebSocketDisconnect, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)


async def _reply(link: WebSocket, **fields: Any) -> None:
    await link.send_text(json.dumps(fields))


def _instrument(category: str, base: str) -> dict[str, Any]:
    """A market of a category, with USDT."""
    common = {"symbol": f"{base}USDT", "baseCoin": base, "quoteCoin": "USDT", "status": "Trading"}
    prices = {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"}
    if category == "spot":
        lot = {"basePrecision": "0.000001", "quotePrecision": "0.0000001", "minOrderQty": "0.00001",
               "maxOrderQty": "100", "minOrderAmt": "5", "maxOrderAmt": "1000000"}  # fmt: skip
        return {**common, "innovation": "0", "marginTrading": "both", "lotSizeFilter": lot,
                "priceFilter": prices}  # fmt: skip
    lot = {"maxOrderQty": "100", "minOrderQty": "0.001", "qtyStep": "0.001"}
    leverage = {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"}
    return {**common, "contractType": "LinearPerpetual", "launchTime": "1584230400000",
            "deliveryTime": "0", "priceScale": "2", "leverageFilter": leverage,
            "priceFilter": prices, "lotSizeFilter": lot, "settleCoin": "USDT",
            "fundingInterval": 480, "unifiedMarginTrade": True}  # fmt: skip
