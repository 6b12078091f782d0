"""A bot that speaks freqtrade's API, of which a test says what it holds and what is wrong with it.

The shapes are those of freqtrade's own api_schemas, with the fields that it answers.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support.web import Faults

USER, PASSWORD, WS_TOKEN = "me", "hush-hush-password", "hush-hush-ws-token"


def order(id: str, side: str, **fields: Any) -> dict[str, Any]:
    """A filled order."""
    return {
        "pair": "BTC/USDT", "order_id": id, "status": "closed", "remaining": 0.0, "amount": 0.1,
        "safe_price": 100.5, "cost": 10.05, "filled": 0.1, "ft_order_side": side,
        "order_type": "limit", "is_open": False, "order_timestamp": 1_700_000_000_000,
        "order_filled_timestamp": 1_700_000_001_000, "ft_fee_base": None, "ft_order_tag": "tag",
        **fields,
    }  # fmt: skip


def trade(id: int, **fields: Any) -> dict[str, Any]:
    """An open long trade, as `/status` has it."""
    return {
        "trade_id": id, "pair": "BTC/USDT", "base_currency": "BTC", "quote_currency": "USDT",
        "is_open": True, "is_short": False, "exchange": "binance", "amount": 0.1,
        "amount_requested": 0.1, "stake_amount": 10.05, "strategy": "Awesome",
        "enter_tag": "breakout", "timeframe": 5, "fee_open": 0.001,
        "open_date": "2023-11-14 22:13:20", "open_timestamp": 1_700_000_000_000,
        "open_fill_date": "2023-11-14 22:13:21", "open_fill_timestamp": 1_700_000_001_000,
        "open_rate": 100.5, "open_trade_value": 10.06, "close_date": None, "exit_reason": None,
        "profit_ratio": 0.01, "profit_pct": 1.0, "profit_abs": 0.1005, "realized_profit": 0.0,
        "has_open_orders": False, "leverage": 1.0, "current_rate": 101.505,
        "total_profit_abs": 0.1005, "orders": [order(f"e{id}", "buy")], **fields,
    }  # fmt: skip


class Bot:
    """The bot. `open` and `closed` are its trades."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.open: list[dict[str, Any]] = []
        self.closed: list[dict[str, Any]] = []
        self.cash = 1000.25
        self.config = {"dry_run": True, "exchange": "binance", "state": "running"}
        self.ws_token: str | None = WS_TOKEN
        self.calls: list[str] = []
        self.logins = 0
        self.subscribed: list[list[str]] = []
        self.tokens: set[str] = set()
        self._links: set[WebSocket] = set()
        self._app = Starlette(
            routes=[
                Route("/api/v1/token/login", self._log_in, methods=["POST"]),
                *(Route(f"/api/v1/{path}", self._answer) for path in (
                    "balance", "status", "profit", "show_config", "trades", "trade/{id}"
                )),
                WebSocketRoute("/api/v1/message/ws", self._message_ws),
            ]
        )  # fmt: skip

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.faults(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @property
    def links(self) -> int:
        """How many are subscribed to its messages."""
        return len(self._links)

    async def say(self, **message: Any) -> None:
        """Send a message to all who are subscribed."""
        for link in list(self._links):
            await link.send_text(json.dumps(message))

    async def hang_up(self) -> None:
        """Close the links for messages."""
        for link in list(self._links):
            await link.close(1011)

    def expire(self) -> None:
        """No access token is valid any more."""
        self.tokens.clear()

    def close(self, id: int, **fields: Any) -> None:
        """A trade ends."""
        [ended] = [each for each in self.open if each["trade_id"] == id]
        self.open.remove(ended)
        self.closed.append({**ended, "is_open": False, **fields})

    async def _log_in(self, request: Request) -> Response:
        self.logins += 1
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != expected:
            return JSONResponse({"detail": "Incorrect username or password"}, 401)
        token = secrets.token_hex()
        self.tokens.add(token)
        return JSONResponse({"access_token": token, "refresh_token": "unused"})

    async def _answer(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return JSONResponse({"detail": "Unauthorized"}, 401)
        path = request.url.path.removeprefix("/api/v1/")
        self.calls.append(path)
        match path.split("/"):
            case ["balance"]:
                return JSONResponse(self._balance())
            case ["status"]:
                return JSONResponse(self.open)
            case ["profit"]:
                return JSONResponse(self._profit())
            case ["show_config"]:
                return JSONResponse({"version": "2026.9", "api_version": 2.4, **self.config})
            case ["trades"]:
                limit = int(request.query_params.get("limit", 500))
                offset = int(request.query_params.get("offset", 0))
                ordered = sorted(self.closed, key=lambda each: each["trade_id"])
                page = ordered[offset : offset + limit]
                return JSONResponse(
                    {"trades": page, "trades_count": len(page), "offset": offset,
                     "total_trades": len(ordered)}
                )  # fmt: skip
        wanted = int(request.path_params["id"])
        for each in (*self.open, *self.closed):
            if each["trade_id"] == wanted:
                return JSONResponse(each)
        return JSONResponse({"detail": "Trade not found."}, 404)

    def _balance(self) -> dict[str, Any]:
        held = sum(each["amount"] * each["current_rate"] for each in self.open)
        own = {"currency": "USDT", "free": self.cash, "balance": self.cash, "used": 0.0,
               "est_stake": self.cash, "stake": "USDT", "side": "long", "position": 0}  # fmt: skip
        return {"currencies": [own], "total": self.cash + held, "stake": "USDT", "symbol": "USD",
                "value": 0.0, "note": "", "starting_capital": 1000.0}  # fmt: skip

    def _profit(self) -> dict[str, Any]:
        won = [each for each in self.closed if (each["profit_abs"] or 0) > 0]
        return {
            "profit_closed_coin": sum(each["profit_abs"] or 0 for each in self.closed),
            "trade_count": len(self.open) + len(self.closed),
            "closed_trade_count": len(self.closed),
            "winning_trades": len(won),
            "losing_trades": len(self.closed) - len(won),
            "bot_start_timestamp": 1_700_000_000_000,
        }

    async def _message_ws(self, link: WebSocket) -> None:
        token = link.query_params.get("token", "")
        if not (token == self.ws_token or token in self.tokens):
            # As freqtrade does.
            await link.close(1008)
            return
        await link.accept()
        try:
            while True:
                request = json.loads(await link.receive_text())
                if request["type"] == "subscribe":
                    self.subscribed.append(request["data"])
                    self._links.add(link)
        except (WebSocketDisconnect, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
