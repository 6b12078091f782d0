"""Many clients in one process: they come and go at random, and check all that they are sent.

Run as a program, so that they take no time from the hub's process: `python -m
tests.exact.dashboards` reads its `Orders` as the first line of standard input, the path of a file
with the producers' truth as the second, and answers with a `Report`, one line of JSON.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tests.exact.checker import (
    Follower,
    LogFollower,
    Tape,
    Text,
    Truth,
    decode_reply,
    decode_text,
    followers,
)

SUBPROTOCOL = Subprotocol("tapecast.v1")
JOIN_SECONDS = 20.0
CLOSE_SECONDS = 20.0
CATCH_UP_SECONDS = 30.0
LOST = 1006
BREACHES_KEPT = 20


class Orders(msgspec.Struct):
    """What the clients of one process do.

    urls: of the hubs; a client that lost one tries the next. channels: their kinds by name. stay,
    away: the longest time in seconds that a client is connected, and is not.
    """

    urls: list[str]
    token: str
    clients: int
    channels: dict[str, str]
    seed: int
    stay: float
    away: float


class Report(msgspec.Struct):
    """What became of it.

    deliveries: updates that clients took. closes: connections that no client of ours ended, by
    code. retried: subscribes that the hub could not answer just then. silence_seconds: the longest
    that a connected client waited for the next entry of any log.
    """

    joins: int = 0
    resumes: int = 0
    recovered: int = 0
    retried: int = 0
    aborts: int = 0
    deliveries: int = 0
    closes: dict[int, int] = {}
    silence_seconds: float = 0.0
    breach_count: int = 0
    breaches: list[str] = []

    def breach(self, what: str) -> None:
        """Take what broke a rule; the first ones are kept in full."""
        self.breach_count += 1
        if len(self.breaches) < BREACHES_KEPT:
            self.breaches.append(what[:1000])

    def plus(self, other: Report) -> Report:
        """Both processes' together."""
        return Report(
            joins=self.joins + other.joins,
            resumes=self.resumes + other.resumes,
            recovered=self.recovered + other.recovered,
            retried=self.retried + other.retried,
            aborts=self.aborts + other.aborts,
            deliveries=self.deliveries + other.deliveries,
            closes=dict(Counter(self.closes) + Counter(other.closes)),
            silence_seconds=max(self.silence_seconds, other.silence_seconds),
            breach_count=self.breach_count + other.breach_count,
            breaches=[*self.breaches, *other.breaches],
        )


class Connection(asyncio.Protocol):
    """One WebSocket, on the sans-I/O half of `websockets`; its text frames go to a dashboard."""

    def __init__(self, url: str, token: str, dashboard: Dashboard) -> None:
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self._dashboard = dashboard
        self._protocol = ClientProtocol(parse_uri(url), subprotocols=[SUBPROTOCOL], max_size=None)
        self._token = token
        self._transport: asyncio.Transport

    @property
    def open(self) -> bool:
        """Whether commands may be sent."""
        return self._protocol.state is State.OPEN and not self.ended.is_set()

    @property
    def code(self) -> int:
        """The code that the connection was closed with."""
        code = self._protocol.close_code
        return LOST if code is None else int(code)

    def send(self, command: object) -> None:
        """Send one text frame."""
        self._protocol.send_text(msgspec.json.encode(command))
        self._flush()

    def close(self) -> None:
        """Leave with a close frame."""
        self._protocol.send_close(1000)
        self._flush()

    def abort(self) -> None:
        """Leave without a word."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {self._token}"
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self._dashboard.take(bytes(event.data))
                elif event.opcode is Opcode.CONT or event.opcode is Opcode.BINARY:
                    self._dashboard.breach(f"expected text frames, got {event}")
            elif isinstance(event, Response):
                if self._protocol.handshake_exc is not None:
                    self._dashboard.breach(f"refused: {self._protocol.handshake_exc}")
                else:
                    self.opened.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        self.ended.set()
        self.opened.set()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)


class Dashboard:
    """One client that comes and goes, and remembers where it was."""

    def __init__(
        self,
        number: int,
        orders: Orders,
        tapes: dict[str, Tape],
        report: Report,
        end: asyncio.Event,
    ) -> None:
        self._name = f"client {number}"
        self._orders = orders
        self._report = report
        self._random = random.Random(orders.seed * 1000 + number)
        self._hub = number
        self._end = end
        self._connection: Connection | None = None
        self._asked: dict[int, Follower] = {}
        self._last_id = 0
        self._entry_at = 0.0
        found = followers(orders.channels, tapes, self.breach)
        self._followers = {follower.channel: follower for follower in found}

    def breach(self, what: str) -> None:
        """Tell of a broken rule."""
        self._report.breach(f"{self._name}: {what}")

    async def live(self) -> None:
        """Come and go until the end, then come once more and stay."""
        draw = self._random.uniform
        while not self._end.is_set():
            await wait(self._end, draw(0, self._orders.away))
            await self._join()
            await self._stay(draw(0, self._orders.stay))
            if self._connection is not None and not self._end.is_set():
                await self._leave(self._connection, abort=draw(0, 1) < 0.4)
        if self._connection is None:
            await self._join()

    async def compare(self, truths: dict[str, Truth]) -> None:
        """Wait until everything has come, then hold it against the producers' truth."""
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while not self._reached(truths):
                    # Looked at now and then, since a connection may end meanwhile.
                    if self._connection is None or self._connection.ended.is_set():
                        self._lost()
                        await self._join()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self.breach(f"not everything came within {CATCH_UP_SECONDS} s")
        # Whatever comes now is too much.
        await asyncio.sleep(0.2)
        for channel, truth in truths.items():
            self._followers[channel].compare(truth)
        if self._connection is not None:
            await self._leave(self._connection, abort=False)
        self._report.deliveries += sum(each.delivered for each in self._followers.values())

    def take(self, payload: bytes) -> None:
        """Take one text frame."""
        text = decode_text(payload)
        follower = self._followers.get(text.channel)
        if follower is not None:
            follower.take(text)
            if isinstance(follower, LogFollower) and text.type == "update":
                now = time.monotonic()
                silence = now - self._entry_at
                self._report.silence_seconds = max(self._report.silence_seconds, silence)
                self._entry_at = now
        elif text.type == "heartbeat":
            for channel, head in text.heads.items():
                self._followers[channel].heartbeat(head)
        elif text.error is not None:
            self._denied(text)
        elif text.id is not None:
            reply = decode_reply(text.result)
            asked = self._asked.pop(text.id)
            if reply.channel != asked.channel:
                asked.breach(f"answered for {reply.channel}")
            self._report.recovered += reply.recovered
            asked.answer(reply.recovered)
        elif text.type not in ("welcome", "notice"):
            self.breach(f"unexpected: {payload.decode()[:200]}")

    def _denied(self, text: Text) -> None:
        assert text.error is not None
        follower = None if text.id is None else self._asked.pop(text.id, None)
        if follower is None or not text.error.retry:
            self.breach(f"an error: {text.error}")
            return
        self._report.retried += 1
        delay = self._random.uniform(0.1, 0.5)
        asyncio.get_running_loop().call_later(delay, self._ask, self._connection, follower)

    def _ask(self, connection: Connection | None, follower: Follower) -> None:
        if connection is None or connection is not self._connection or not connection.open:
            return
        since = follower.ask()
        params: dict[str, object] = {"channel": follower.channel}
        if since is not None:
            params["since"] = since
            self._report.resumes += 1
        self._last_id += 1
        self._asked[self._last_id] = follower
        connection.send({"id": self._last_id, "method": "subscribe", "params": params})

    async def _join(self) -> None:
        """Connect to a hub that answers, and ask for every channel."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + JOIN_SECONDS
        while self._connection is None:
            url = self._orders.urls[self._hub % len(self._orders.urls)]
            at = parse_uri(url)
            connection = Connection(url, self._orders.token, self)
            try:
                await loop.create_connection(partial(_same, connection), at.host, at.port)
                await connection.opened.wait()
            except OSError:
                connection.ended.set()
            if connection.open:
                self._connection = connection
            else:
                self._hub += 1
                await asyncio.sleep(self._random.uniform(0, 0.2))
                if loop.time() > give_up_at:
                    self.breach(f"no hub could be joined within {JOIN_SECONDS} s")
                    return
        self._report.joins += 1
        self._entry_at = time.monotonic()
        for follower in self._followers.values():
            self._ask(self._connection, follower)

    async def _stay(self, seconds: float) -> None:
        """Stay connected for a while, or until the end; come back where the hub ended it."""
        give_up_at = time.monotonic() + seconds
        while not self._end.is_set() and (left := give_up_at - time.monotonic()) > 0:
            if self._connection is None:
                await self._join()
                continue
            waits = [
                asyncio.create_task(self._connection.ended.wait()),
                asyncio.create_task(self._end.wait()),
            ]
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            self._lost()

    async def _leave(self, connection: Connection, *, abort: bool) -> None:
        if not connection.open:
            # The hub was first.
            await connection.ended.wait()
            self._lost()
            return
        if abort:
            self._report.aborts += 1
            connection.abort()
        else:
            connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.ended.wait()
        except TimeoutError:
            self.breach(f"a close was not answered within {CLOSE_SECONDS} s")
            connection.abort()
        self._forget()

    def _lost(self) -> None:
        """Take note of a connection that the hub ended, where it did."""
        if self._connection is not None and self._connection.ended.is_set():
            closes, code = self._report.closes, self._connection.code
            closes[code] = closes.get(code, 0) + 1
            self._hub += 1
            self._forget()

    def _forget(self) -> None:
        self._connection = None
        self._asked.clear()
        for follower in self._followers.values():
            follower.leave()

    def _reached(self, truths: dict[str, Truth]) -> bool:
        return all(
            self._followers[channel].position == truth.head for channel, truth in truths.items()
        )


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Return when it happened, or after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _same(connection: Connection) -> Connection:
    return connection


async def carry_out(orders: Orders, truth_path: asyncio.Future[Path]) -> Report:
    """Let the clients live until the truth is known, and compare."""
    report = Report()
    end = asyncio.Event()
    tapes = {name: Tape(name) for name, kind in orders.channels.items() if kind == "log"}
    dashboards = [Dashboard(number, orders, tapes, report, end) for number in range(orders.clients)]
    async with asyncio.TaskGroup() as tasks:
        for dashboard in dashboards:
            tasks.create_task(dashboard.live())
        path = await truth_path
        end.set()
    truths = msgspec.json.decode(path.read_bytes(), type=dict[str, Truth])
    async with asyncio.TaskGroup() as tasks:
        for dashboard in dashboards:
            tasks.create_task(dashboard.compare(truths))
    for channel, tape in tapes.items():
        tape.compare(truths[channel], report.breach)
    return report


async def main() -> None:
    """Talk to the process that started this one."""
    loop = asyncio.get_running_loop()
    orders = msgspec.json.decode(await loop.run_in_executor(None, sys.stdin.readline), type=Orders)
    truth_path: asyncio.Future[Path] = loop.create_future()
    reader = loop.run_in_executor(None, sys.stdin.readline)
    reader.add_done_callback(lambda line: truth_path.set_result(Path(line.result().strip())))
    report = await carry_out(orders, truth_path)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


if __name__ == "__main__":
    uvloop.run(main())
