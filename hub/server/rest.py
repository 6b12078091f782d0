"""Channels over HTTP, for those who do not keep a socket open: list, read, publish.

The rules of the socket hold here too: a token in `Authorization: Bearer` or the cookie, its
patterns, and no page of a strange origin.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.broker.base import BrokerUnavailableError
from hub.core.admission import admit
from hub.core.feed import Feed
from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.agent_commands import is_commands
from hub.protocol.channels import check_channel
from hub.protocol.envelope import Envelope
from hub.protocol.errors import ProtocolError
from hub.protocol.position import MAX_SEQ, Position
from hub.protocol.publication import Receipt
from hub.server.access import authorize, body_of, idempotency_key, whole_number
from hub.server.answers import JsonAnswer, describe, listed_tags
from hub.server.commanding import origin_of
from hub.server.current import current_feed
from hub.server.hub import NOT_RUNNING, Hub
from hub.server.ingest import PublishRequest, producer_id
from hub.server.listing import Listing
from hub.server.posted import read_posted
from hub.server.rest_commands import Commands, command_answer, read_command, wait_of

DEFAULT_ENTRIES = 100
MAX_ENTRIES = 1_000

_SINCE = re.compile(
    r"(?:(?P<epoch>[A-Za-z0-9_-]{1,32}):)?(?P<seq>[0-9]{1,16})(?::(?P<tag>[0-9a-f]*))?"
)


class Rest:
    """The endpoints of one hub."""

    def __init__(self, hub: Hub, listing: Listing) -> None:
        self._hub = hub
        self._listing = listing
        self._commands = Commands(hub)

    def routes(self) -> list[Route]:
        return [
            Route("/channels", self.channels),
            Route("/channels/{channel}", self.snapshot, methods=["GET"]),
            Route("/channels/{channel}", self.publish, methods=["POST"]),
            Route("/channels/{channel}/history", self.history),
        ]

    async def channels(self, request: Request) -> Response:
        """`{"channels": [{"name", "kind", "head", "age_ms", "stale"}]}` that the token may read."""
        grant = authorize(self._hub, request)
        rows = await self._listing.rows()
        return JsonAnswer({"channels": [row for row in rows if grant.may_read(row.name)]})

    async def snapshot(self, request: Request) -> Response:
        """The snapshot frame of the channel, with its `kind` and whether it is `stale`."""
        channel = self._readable_channel(request)
        feed = await self._feed(channel)
        at = feed.position
        etag = f'"{at.epoch}-{at.seq}-{at.tag}{"-stale" if feed.stale else ""}"'
        if etag in listed_tags(request.headers.get("If-None-Match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
        frame = b'%b,"kind":"%b","stale":%b}' % (
            feed.snapshot().payload[:-1],
            feed.kind.encode(),
            b"true" if feed.stale else b"false",
        )
        return JsonAnswer(msgspec.Raw(frame), headers={"ETag": etag})

    async def history(self, request: Request) -> Response:
        """Entries oldest first, after `since` or the newest; at most `limit`.

        `complete`: they provably follow `since` and one another without a hole. `next`: what to
        ask for as `since` to go on; where it is null they end at `head`, or where they can't be
        followed further, and `complete` says which.
        """
        channel = self._readable_channel(request)
        text = request.query_params.get("limit", str(DEFAULT_ENTRIES))
        limit = whole_number("limit", text, 1, MAX_ENTRIES)
        since = _since(request.query_params.get("since"))
        seq = since.seq if isinstance(since, Position) else since
        reading = await self._hub.broker.read(channel, seq, limit, state=False)
        head, kind = reading.position, reading.kind
        if head is None or kind is None:
            raise _unknown(channel)
        strange = isinstance(since, Position) and since.seq > 0 and since.epoch != head.epoch
        if strange:
            # The caller's history was lost: nothing leads from there to here.
            reading = await self._hub.broker.read(channel, 0, limit, state=False)
            head, kind = reading.position or head, reading.kind or kind
        entries = reading.entries
        more = len(entries) == limit and entries[-1].position != head
        end: Position | int | None = entries[-1].position if entries else since
        reaches = more or end == head or end == head.seq or (end is None and head.seq == 0)
        return JsonAnswer(
            {
                "channel": channel,
                "kind": kind,
                "head": head,
                "entries": [msgspec.Raw(admit(entry, kind).payload) for entry in entries],
                "complete": not strange and reaches and _is_unbroken(entries, since),
                "next": _spell(entries[-1].position) if more else None,
            }
        )

    async def publish(self, request: Request) -> Response:
        """Publish one entry, or a batch in its order; answered with the position of each.

        The same `Idempotency-Key` and body again: the same answer, and nothing is published twice.
        Another body under that key is refused.
        An entry of a batch that is refused does not hold back the others; then the status is 207.
        """
        grant = authorize(self._hub, request)
        if not self._hub.running:
            raise ProtocolError(NOT_RUNNING, code=codes.FAILED)
        channel = check_channel(request.path_params["channel"])
        if is_commands(channel):
            return await self._command(request, grant, channel)
        if not grant.may_publish(channel):
            message = f"the token does not allow publishing to {channel}"
            raise ProtocolError(message, code=codes.FORBIDDEN)
        ingest, key = self._hub.ingest, idempotency_key(request)
        # No producer that a socket names has a colon in it.
        producer = None if key is None else producer_id(grant.subject, f"http:{key}")
        body = await body_of(request, self._hub.settings.body_bytes)
        posted = read_posted(body)
        if producer is not None and not await self._hub.broker.claim(channel, producer, body):
            message = "the Idempotency-Key was that of another request; nothing was published"
            raise ProtocolError(message, code=codes.INVALID_DATA)
        # Submitted together, so that nobody else's publishes come in between.
        waiting = []
        for number, entry in enumerate(posted.entries):
            id = ingest.next_id() if producer is None else (producer, number)
            data = bytes(entry.data)
            wanted = PublishRequest(channel, entry.event, data, *id, entry.key)
            waiting.append(ingest.submit(wanted))
        results: list[Receipt | ProtocolError | BrokerUnavailableError] = []
        for answer in waiting:
            try:
                results.append(await answer)
            except (ProtocolError, BrokerUnavailableError) as error:
                results.append(error)
        if posted.is_batch:
            return _batch_answer(channel, results)
        [result] = results
        if not isinstance(result, Receipt):
            raise result
        return JsonAnswer(_published(channel, result))

    async def _command(self, request: Request, grant: Grant, channel: str) -> Response:
        """Send one command to the agent of the channel; with `wait_ms`, answered with its end."""
        origin = origin_of("http", request.client.host if request.client else "", grant)
        self._commands.check_right(grant, channel, origin)
        key = idempotency_key(request)
        wait_ms = wait_of(request.query_params.get("wait_ms"))
        posted = read_command(await body_of(request, self._hub.settings.body_bytes))
        sent, ending = await self._commands.send(
            grant, channel, posted, key=key, origin=origin, wait_ms=wait_ms
        )
        return command_answer(channel, sent, ending)

    # What the endpoints share

    def _readable_channel(self, request: Request) -> str:
        grant = authorize(self._hub, request)
        channel = check_channel(request.path_params["channel"])
        if not grant.may_read(channel):
            message = f"the token does not allow reading {channel}"
            raise ProtocolError(message, code=codes.FORBIDDEN)
        return channel

    async def _feed(self, channel: str) -> Feed:
        """The channel's live feed, or one made for this request."""
        feed = await current_feed(self._hub, channel)
        if feed is None:
            raise _unknown(channel)
        return feed


def _unknown(channel: str) -> ProtocolError:
    return ProtocolError(f"nothing was published to {channel}", code=codes.NOT_FOUND)


# Reading


def _since(text: str | None) -> Position | int | None:
    """A position `EPOCH:SEQ:TAG`, or a seq alone, which cannot tell one history from another."""
    if text is None:
        return None
    match = _SINCE.fullmatch(text)
    if match is not None and int(match["seq"]) <= MAX_SEQ:
        if match["epoch"] is not None and match["tag"] is not None:
            return Position(match["epoch"], int(match["seq"]), match["tag"])
        if match["epoch"] is None and match["tag"] is None:
            return int(match["seq"])
    raise ProtocolError(f"since: expected SEQ or EPOCH:SEQ:TAG, got {text!r:.80}")


def _spell(position: Position) -> str:
    return f"{position.epoch}:{position.seq}:{position.tag}"


def _is_unbroken(entries: Sequence[Envelope], since: Position | int | None) -> bool:
    """Whether the first entry follows `since`, where given, and each the one before it."""
    at = since
    for entry in entries:
        if isinstance(at, Position):
            follows = entry.follows(at)
        else:
            follows = at is None or entry.seq == at + 1
        if not follows:
            return False
        at = entry.position
    return True


# Publishing


def _published(channel: str, receipt: Receipt) -> dict[str, object]:
    at = receipt.position
    return {
        "channel": channel,
        "epoch": at.epoch,
        "seq": at.seq,
        "tag": at.tag,
        "unchanged": receipt.unchanged,
    }


def _batch_answer(
    channel: str, results: Sequence[Receipt | ProtocolError | BrokerUnavailableError]
) -> JsonAnswer:
    answers = [
        _published(channel, result) if isinstance(result, Receipt) else {"error": describe(result)}
        for result in results
    ]
    failed = any(not isinstance(result, Receipt) for result in results)
    status = HTTPStatus.MULTI_STATUS if failed else HTTPStatus.OK
    return JsonAnswer({"results": answers}, status)
