"""Posts over HTTP as a source.

The rules:

1. A post is answered 200 once it is stored in Redis, with its position. Where that takes longer
   than a sender waits, it is answered 202, "buffered": accepted, in the memory of this process
   and in its spool, if it has one, and published when Redis is back. What had to be given up after
   that is told, on health and in the log.
2. A post that comes twice is published once, and answered as the first was. What it is known by is
   its id (`webhook-id`, `idempotency-key`), the `key` of its rule, or for a while its content.
   Where there is an id or key, a log knows it over restarts too.
3. What waits for Redis is bounded; beyond that the answer is 503, and the sender may try again.
4. Whoever can't show that they know a hook's secret learns nothing but that.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias

import click
import msgspec

from hub.protocol.streams import KNOWN, Kind, Stream, stream_options
from producers.errors import BufferFull, ProducerError, PublisherClosed
from producers.events import Component, Health, HealthState
from producers.settings import BadSettings
from producers.sources.base import FollowingSource, Reading, Relayed, State
from producers.sources.credentials import require_secret
from producers.sources.webhook.ledger import Ledger
from producers.sources.webhook.rules import (
    MAX_KEY,
    BadPost,
    Hook,
    check_kinds,
    read_body,
    read_hooks,
    reading_of,
)
from producers.sources.webhook.signing import (
    Unauthorized,
    check_shared,
    check_signature,
    read_keys,
)

if TYPE_CHECKING:
    from producers.readings import Result
    from producers.sources.webhook.server import Answer, Post

logger = logging.getLogger(__name__)

DEFAULT_PORT: Final = 8090
BODY_BYTES: Final = 64 * 1024
ANSWER_SECONDS: Final = 2.0
"""TradingView waits for 3."""
ID_SECONDS: Final = 86_400.0
MAX_WAITING: Final = 1_000
BATCH: Final = 64

Settled: TypeAlias = "asyncio.Future[Result]"


class WebhookSource(FollowingSource):
    """What is posted to the hooks of the file, by the rules that stand there."""

    summary: ClassVar[str] = """Take posts over HTTP: signed ones, and TradingView's alerts.

    The hooks stand in the TOML file: a path, the variable that holds its secret, and rules that
    make decisions, alerts or events of what is posted.

    \b
    [sources.webhook.hooks.tradingview]        # POST /hooks/tradingview
    auth = "shared"
    secret = "TRADINGVIEW_SECRET"
    [[sources.webhook.hooks.tradingview.rules]]
    to = "decision"
    fields = { asset_pair = "{ticker}", action = "{side}", entry_price = "{price}" }

    \b
    Examples:
      tapecast produce webhook --config tapecast.toml
      tapecast produce webhook --config tapecast.toml --host 0.0.0.0 --port 9000
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Option(
            ["--host"], default="127.0.0.1", show_default=True, help="The address to listen on."
        ),
        click.Option(
            ["--port"],
            type=click.IntRange(0, 65535),
            default=DEFAULT_PORT,
            show_default=True,
            help="The port; 0 takes a free one.",
        ),
        click.Option(
            ["--body-bytes"],
            type=click.IntRange(1024, 256 * 1024),
            default=BODY_BYTES,
            show_default=True,
            metavar="BYTES",
            help="The largest body.",
        ),
        click.Option(
            ["--answer-seconds"],
            type=click.FloatRange(min=0.1, max=60),
            default=ANSWER_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="How long Redis is waited for before the answer is 202.",
        ),
    )
    tables: ClassVar[frozenset[str]] = frozenset({"hooks"})

    def __init__(
        self,
        hooks: Mapping[str, Hook],
        keys: Mapping[str, Sequence[bytes]],
        *,
        name: str = "webhook",
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        body_bytes: int = BODY_BYTES,
        answer_seconds: float = ANSWER_SECONDS,
        streams: Mapping[str, Stream] = KNOWN,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._hooks = hooks
        self._keys = keys
        self._host, self._port = host, port
        self._body_bytes = body_bytes
        self._answer_seconds = answer_seconds
        self._streams = streams
        self._now = now
        self._health = f"health:{name}"
        self._known: Ledger[Settled] = Ledger()
        self._posts: asyncio.Queue[Reading] = asyncio.Queue(MAX_WAITING)
        # By identity, which lasts while the reading is on its way: equal ones are not the same.
        self._waiting: dict[int, Settled] = {}
        self._buffered: set[Settled] = set()
        self._is_open = False
        self._lost = 0
        self.address: tuple[str, int] | None = None
        """Where it listens, while it does."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        names = ("name", "host", "port", "body_bytes", "answer_seconds", "streams")
        try:
            hooks = read_hooks(options["hooks"])
            check_kinds(hooks, options["streams"])
            keys = {name: _keys_of(name, hook) for name, hook in hooks.items()}
        except (BadSettings, ValueError) as error:
            raise click.UsageError(str(error)) from None
        return cls(hooks, keys, **{name: options[name] for name in names})

    @property
    def channels(self) -> tuple[str, ...]:
        # While posts are taken, these miss none. Of any other event, its rule says how long it
        # counts.
        rules = [rule for hook in self._hooks.values() for rule in hook.rules]
        return (*{rule.target: None for rule in rules if rule.to != "event"}, self._health)

    @property
    def health_channel(self) -> str:
        return self._health

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        from producers.sources.webhook.server import create_app, serving

        app = create_app(self.take, self._body_bytes)
        async with serving(app, self._host, self._port) as self.address:
            logger.info("listening on http://%s:%d/hooks/...", *self.address)
            self._is_open = True
            try:
                yield []
                while True:
                    batch = [await self._posts.get()]
                    while not self._posts.empty() and len(batch) < BATCH:
                        batch.append(self._posts.get_nowait())
                    yield batch
            finally:
                self._close()

    def _close(self) -> None:
        """Let nobody wait for what nobody will publish."""
        self._is_open = False
        while not self._posts.empty():
            reading = self._posts.get_nowait()
            self.told(reading, PublisherClosed(reading.channel, "the server ended first"))

    def told(self, reading: Reading, result: Result) -> None:
        settled = self._waiting.pop(id(reading), None)
        if settled is not None:
            settled.set_result(result)

    async def take(self, post: Post) -> Answer:
        """What is answered to a post."""
        from producers.sources.webhook.server import Answer

        hook = self._hooks.get(post.hook)
        if hook is None:
            return Answer(404, {"error": f"no hook {post.hook!r:.80}"})
        try:
            settled = self._begin(post, hook)
        except Unauthorized as error:
            return Answer(401, {"error": str(error)})
        except BadPost as error:
            logger.warning("%s: a post was refused: %s", post.hook, error)
            return Answer(422, {"error": str(error)})
        except asyncio.QueueFull:
            return Answer(503, {"error": "too many posts wait for Redis"})
        except PublisherClosed as error:
            return Answer(503, {"error": str(error)})
        if settled is None:
            return Answer(200, {"status": "ignored", "reason": "no rule takes it"})
        await asyncio.wait([settled], timeout=self._answer_seconds)
        if not settled.done():
            self._buffered.add(settled)
            return Answer(202, {"status": "buffered"})
        return _answer_of(settled.result())

    def _begin(self, post: Post, hook: Hook) -> Settled | None:
        """Have a post published, unless it is before; None where no rule takes it."""
        now = self._now()
        if hook.auth == "signed":
            keys = self._keys[post.hook]
            post_id = check_signature(
                keys, post.headers, post.body, now=now, window_seconds=hook.window_seconds
            )
            body = read_body(post.body, self._body_bytes)
        else:
            body = self._shared(post, hook)
            post_id = post.headers.get("idempotency-key", "")[:MAX_KEY]
        if post_id:
            # Never shorter than a recorded post is taken for a new one.
            key, seconds = f"{post.hook}:{post_id}", max(ID_SECONDS, 2 * hook.window_seconds)
            unique = key
        else:
            digest = hashlib.sha256(post.body).hexdigest()[:32]
            key, seconds = f"{post.hook}:{digest}", hook.repeat_seconds
            # Equal alerts at different times are different alerts.
            unique = f"{key}:{int(now)}"
        known = self._known.find(key, now)
        if known is not None:
            return known
        reading = reading_of(hook.rules, body, unique)
        if reading is None:
            return None
        if not self._is_open:
            raise PublisherClosed(reading.channel, "the server ends")
        settled: Settled = asyncio.get_running_loop().create_future()
        reading = self._fitted(reading)
        self._posts.put_nowait(reading)
        self._waiting[id(reading)] = settled
        self._known.note(key, settled, now, seconds)
        settled.add_done_callback(lambda settled: self._is_settled(key, settled))
        return settled

    def _shared(self, post: Post, hook: Hook) -> dict[str, Any]:
        """The body of a post with a shared secret, without it; raises Unauthorized."""
        keys = self._keys[post.hook]
        if post.secret:
            check_shared(keys, post.secret)
        try:
            body = read_body(post.body, self._body_bytes)
        except BadPost:
            if post.secret:
                raise
            body = {}
        # Taken out in any case: what is published is on every dashboard.
        said = str(body.pop("secret", ""))
        if not post.secret:
            check_shared(keys, said)
        return body

    def _fitted(self, reading: Reading) -> Reading:
        # An entry of a log alone can have a key.
        if isinstance(reading, Relayed):
            kind = stream_options(reading.channel, self._streams).kind
            return reading if kind is Kind.LOG else msgspec.structs.replace(reading, key="")
        return reading

    def _is_settled(self, key: str, settled: Settled) -> None:
        was_answered = settled in self._buffered
        self._buffered.discard(settled)
        result = settled.result()
        if not isinstance(result, ProducerError):
            return
        self._known.forget(key)
        if was_answered:
            self._tell_lost(result)

    def _tell_lost(self, why: ProducerError) -> None:
        self._lost += 1
        logger.error("a post that was answered 202 is lost: %s", why)
        detail = f"{self._lost} posts that were answered 202 are lost, the last: {why}"
        component = Component(state=HealthState.DEGRADED, detail=detail)
        health = Health(state=HealthState.DEGRADED, components={"posts": component})
        if self._is_open and not self._posts.full():
            self._posts.put_nowait(State(self._health, health))


def _keys_of(name: str, hook: Hook) -> tuple[bytes, ...]:
    secret = require_secret(os.environ, hook.secret, f"the secret of the hook {name}")
    try:
        return read_keys(secret, signs=hook.auth == "signed")
    except ValueError as error:
        raise ValueError(f"{hook.secret}: {error}") from None


def _answer_of(result: Result) -> Answer:
    from producers.sources.webhook.server import Answer

    match result:
        case BufferFull() | PublisherClosed():
            return Answer(503, {"error": str(result)})
        case ProducerError():
            return Answer(422, {"error": str(result)})
    if (receipt := result.receipt) is not None:
        at = receipt.position
        where = {"epoch": at.epoch, "seq": at.seq, "tag": at.tag}
        return Answer(200, {"status": "stored", **where, "unchanged": receipt.unchanged})
    return Answer(200, {"status": result.outcome.value})
