"""Channels in Redis or Valkey: the scripts over a pool of links, the pub/sub reader beside it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha1
from typing import Any

from broadcaster import Event
from redis.asyncio.connection import AbstractConnection, BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LinkLostError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from hub.broker.base import Broker, BrokerUnavailableError, ChannelUnavailableError
from hub.broker.probe import Probe
from hub.broker.pubsub import Endpoint, PubSubReader
from hub.broker.push import PushStore
from hub.broker.redis_commands import RedisCommands
from hub.broker.resp import Command, pack
from hub.broker.timing import Timing
from hub.protocol import claims, command_scripts, keys, scripts
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, Denial
from hub.protocol.channels import check_channel
from hub.protocol.errors import ChannelNameError, ProtocolError
from hub.protocol.position import Position
from hub.protocol.publication import Publication, Receipt
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import KNOWN, Stream, stream_options

logger = logging.getLogger(__name__)

POOL_SIZE = 16
HEADS_A_BATCH = 500
SCAN_COUNT = 1000

_DAMAGED = frozenset({"ERR", "WRONGTYPE"})
"""What `READ` fails with where it meets what no script wrote; other words are the server's own."""


class RedisBroker(Broker):
    """A broker on `redis://`, `rediss://` or `unix://`. Raises ValueError for another URL.

    The database number of the URL holds the channels' keys; it does not separate pub/sub, so two
    Tapecasts must not share one server.
    """

    def __init__(
        self,
        url: str,
        *,
        streams: Mapping[str, Stream] = KNOWN,
        timing: Timing | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        self._streams = streams
        self._timing = timing or Timing()
        self._endpoint = Endpoint.from_url(url)
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=pool_size,
            timeout=None,
            socket_connect_timeout=self._timing.connect_seconds,
            # `exchange` sets one deadline for all that a command waits for.
            socket_timeout=None,
            # `exchange` decides what is sent again.
            retry=Retry(NoBackoff(), 0),
            # It would cost a trip, and tell of a link only what the command itself tells too.
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
            driver_info=None,
            redis_connect_func=_introduce,
        )
        self._reader = PubSubReader(self._endpoint, self._timing)
        self._commands = RedisCommands(self.exchange, self.call, streams)
        self._push = PushStore(self.exchange, self.call)
        self._probe = Probe(self._reader, self._publish_bytes, self._timing)
        self._task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        assert self._task is None, "connected already"
        self._task = asyncio.create_task(self._run(), name=f"broker {self._endpoint}")
        self._task.add_done_callback(_tell_of_death)

    async def disconnect(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        try:
            await self._pool.aclose()
        except (RedisError, OSError) as error:
            logger.debug("closing links to %s: %s", self._endpoint, error)

    async def subscribe(self, group: str) -> None:
        name = keys.pubsub(check_channel(group)).encode()
        if not self._reader.follows(name):
            await self._reader.subscribe(name, self._reader.route(group))

    async def unsubscribe(self, group: str) -> None:
        self._reader.unsubscribe(keys.pubsub(group).encode())

    async def publish(self, channel: str, message: bytes) -> None:
        await self._publish_bytes(keys.pubsub(check_channel(channel)).encode(), message)

    async def next_published(self) -> Event:
        channel, message = await self._reader.next_message()
        # Broadcast hands a message through as it is; only its annotation says str.
        return Event(channel, message)  # type: ignore[arg-type]

    async def store(self, publications: Sequence[Publication]) -> list[Receipt | Exception]:
        answers: list[Receipt | Exception | None] = []
        calls: list[scripts.Call] = []
        for publication in publications:
            options = stream_options(publication.channel, self._streams)
            try:
                calls.append(scripts.publish_call(publication, options, secrets.token_urlsafe(6)))
                answers.append(None)
            except ProtocolError as error:
                answers.append(error)
        replies = iter(await self.call(scripts.PUBLISH, calls))
        return [_receipt(next(replies)) if answer is None else answer for answer in answers]

    async def claim(self, channel: str, producer: str, asked: bytes) -> bool:
        [reply] = await self.call(claims.CLAIM, [claims.claim_call(channel, producer, asked)])
        if isinstance(reply, ResponseError):
            raise BrokerUnavailableError(str(reply))
        return bool(reply)

    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        call = scripts.read_call(check_channel(channel), since, limit, state=state)
        [reply] = await self.call(scripts.READ, [call])
        if isinstance(reply, ResponseError):
            raise _unreadable(channel, reply)
        try:
            return scripts.parse_reading(channel, reply, newest_first=since is None)
        except ValueError as error:
            # Written by hand; the next publish begins a new epoch.
            message = f"{channel}: not what a script wrote: {error}"
            raise ChannelUnavailableError(message) from None

    async def send_commands(
        self, requests: Sequence[CommandRequest]
    ) -> list[CommandReceipt | Exception]:
        return await self._commands.send(requests)

    async def sweep_commands(self) -> None:
        await self._commands.sweep()

    async def note_denied(self, denials: Sequence[Denial]) -> None:
        await self._commands.note_denied(denials)

    async def heads(self, channels: Sequence[str]) -> list[Position | None]:
        found: list[Position | None] = []
        for at in range(0, len(channels), HEADS_A_BATCH):
            commands: list[Command] = [
                ("HMGET", keys.meta(check_channel(channel)), "epoch", "seq", "tag")
                for channel in channels[at : at + HEADS_A_BATCH]
            ]
            found.extend(map(_head, await self.exchange(commands)))
        return found

    async def channels(self) -> list[str]:
        found: set[str] = set()
        cursor = b"0"
        while True:
            scan = ("SCAN", cursor, "MATCH", keys.META_PATTERN, "COUNT", SCAN_COUNT)
            [reply] = await self.exchange([scan])
            if isinstance(reply, ResponseError):
                raise BrokerUnavailableError(str(reply))
            cursor, names = reply
            for name in names:
                try:
                    found.add(check_channel(keys.channel_of_meta(name.decode(errors="replace"))))
                except ChannelNameError:
                    logger.warning("a key that no script wrote: %r", name)
            if cursor == b"0":
                return sorted(found)

    @property
    def push(self) -> PushStore:
        return self._push

    @property
    def delivering(self) -> bool:
        return self._task is not None and not self._task.done() and self._probe.delivering

    @property
    def reconnects(self) -> int:
        return max(0, self._reader.links - 1)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reader.run())
            tasks.create_task(self._probe.run())

    async def _publish_bytes(self, name: bytes, message: bytes) -> None:
        [reply] = await self.exchange([("PUBLISH", name, message)])
        if isinstance(reply, ResponseError):
            raise BrokerUnavailableError(str(reply))

    async def call(self, script: str, calls: Sequence[scripts.Call]) -> list[Any]:
        """A reply for each call of a script, which may be called twice where a link was lost;
        refusals are ResponseErrors. Raises BrokerUnavailableError."""
        commands = [_evalsha(script, call) for call in calls]
        replies = await self.exchange(commands)
        unknown = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            # Every link loads the scripts of channels when it is made, so for them this is a
            # SCRIPT FLUSH by hand. What it refused is sent again in its order. (A neighbour that
            # loads the script in the middle of this very batch could put a later publish first;
            # nothing else can.)
            again = [("SCRIPT", "LOAD", script), *(commands[at] for at in unknown)]
            _, *late = await self.exchange(again)
            for at, reply in zip(unknown, late, strict=True):
                replies[at] = reply
        return replies

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go, and return a reply for each; errors among them as they are.
        Where a link was lost they are sent again, once.

        Raises BrokerUnavailableError where not all were answered in time.
        """
        if not commands:
            return []
        packed = [pack(command) for command in commands]
        seconds = self._timing.command_seconds
        try:
            async with asyncio.timeout(seconds):
                try:
                    return await self._exchange_once(packed)
                except LinkLostError:
                    # Most likely it died in the pool. All but bare publishes may be repeated:
                    # they read, or carry an id.
                    return await self._exchange_once(packed)
        except TimeoutError:
            message = f"expected an answer from {self._endpoint} in {seconds} s, got none"
            raise BrokerUnavailableError(message) from None
        except (RedisError, OSError) as error:
            raise BrokerUnavailableError(f"{self._endpoint}: {error}") from error

    async def _exchange_once(self, packed: Sequence[bytes]) -> list[Any]:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            # Cancelled in between, redis-py closes the link, so no answer is left on it.
            await connection.send_packed_command(packed)
            return [await _reply(connection) for _ in packed]
        finally:
            await self._pool.release(connection)


@cache
def _hash(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


async def _introduce(connection: AbstractConnection) -> None:
    """What a new link of the pool begins with: AUTH, SELECT, and the scripts."""
    await connection.on_connect()
    for script in (scripts.PUBLISH, scripts.READ, command_scripts.SEND, command_scripts.SWEEP):
        await connection.send_command("SCRIPT", "LOAD", script)
        await connection.read_response()


async def _reply(connection: AbstractConnection) -> Any:
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _evalsha(script: str, call: scripts.Call) -> Command:
    return ("EVALSHA", _hash(script), len(call.keys), *call.keys, *call.args)


def _receipt(reply: Any) -> Receipt | Exception:
    if not isinstance(reply, ResponseError):
        return scripts.parse_receipt(reply)
    # Whatever this one was answered with, its neighbours were stored.
    return scripts.refusal(str(reply)) or BrokerUnavailableError(str(reply))


def _unreadable(channel: str, reply: ResponseError) -> BrokerUnavailableError:
    # redis-py takes the first word off the errors that it knows.
    word = reply.status_code or str(reply).partition(" ")[0]
    if word in _DAMAGED:
        return ChannelUnavailableError(f"{channel}: {reply}")
    return BrokerUnavailableError(f"{channel}: {reply}")


def _head(reply: Any) -> Position | None:
    """The position in a meta hash, None where there is none that a script wrote."""
    if isinstance(reply, ResponseError) or None in reply:
        return None
    epoch, seq, tag = reply
    try:
        return Position(epoch.decode(), int(seq), tag.decode())
    except ValueError:
        return None


def _tell_of_death(task: asyncio.Task[None]) -> None:
    """Nothing in the broker's task returns or raises by itself; `delivering` is False from now."""
    if not task.cancelled():
        logger.critical("%s died", task.get_name(), exc_info=task.exception())
