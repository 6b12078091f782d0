"""Takes publishes in: checks each in full, and hands it to the sender.

What is in a round must not fail but by Redis's own answer, so all that can be wrong with a publish
is found here, where its caller is told.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypedDict

import msgspec

from hub.protocol.agent_commands import check_publishable
from hub.protocol.channels import check_event
from hub.protocol.errors import ProtocolError
from hub.protocol.publication import AppendEntry, Change, change_from_json
from hub.protocol.streams import Stream, stream_options
from producers.answers import Answer, Outcome, Ticket
from producers.buffer import Waiting
from producers.encoding import encode
from producers.errors import InvalidPayload, PublishRefused
from producers.sender import Sender

REPLICA_TIMEOUT_MS: Final = 100

_STREAMS_KEPT: Final = 1_000


class Assurance(TypedDict, total=False):
    """How sure a call wants to be; every call that publishes takes these.

    wait: True waits for the position, however long Redis is away; a number does for so many
        seconds. Otherwise, where it does not come at once, the answer says where the publish lies.
    replicas: how many of Redis's replicas are to have it for the answer `replicated`.
    replica_timeout_ms: how long they are waited for, 100 by default, by what follows too.
    """

    wait: bool | float
    replicas: int
    replica_timeout_ms: int


class Intake:
    """Raises, for what can't be published: InvalidPayload, PublishRefused, PublisherClosed, and
    ValueError for options that make no sense."""

    def __init__(self, sender: Sender, streams: Mapping[str, Stream]) -> None:
        self._sender = sender
        self._streams = streams
        # Each publish asks for it, more than once.
        self.stream = lru_cache(_STREAMS_KEPT)(self._stream)

    def change(self, channel: str, data: object) -> Change:
        """What publishes `data`, as the channel's kind takes it."""
        try:
            return change_from_json(self.stream(channel).kind, encode(data))
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error

    def keyed(self, channel: str, data: object, key: str) -> Change:
        """The same with a key, which only a log's entries have; "" for none."""
        change = self.change(channel, data)
        if isinstance(change, AppendEntry):
            return msgspec.structs.replace(change, key=_require_text("key", key))
        if key:
            raise PublishRefused(channel, "expected a log, the only kind whose entries have keys")
        return change

    async def submit(
        self,
        channel: str,
        event: str,
        change: Change,
        lease: float | None,
        assurance: Assurance,
        *others: Ticket,
    ) -> Answer:
        """Hand a publish over, and return what became of it as far as `wait` says."""
        wait = assurance.get("wait", False)
        ticket = self.hand_over(channel, event, change, lease, assurance, *others)
        if isinstance(wait, bool):
            return await ticket
        done, _ = await asyncio.wait([ticket], timeout=wait)
        if done:
            return ticket.result()
        # Nobody hears what becomes of it now.
        ticket.cancel()
        return Answer(Outcome.SPOOLED if ticket.spooled else Outcome.BUFFERED)

    def hand_over(
        self,
        channel: str,
        event: str,
        change: Change,
        lease: float | None,
        assurance: Assurance,
        *others: Ticket,
    ) -> Ticket:
        """Let a publish wait for its turn, also on behalf of these others."""
        stream = self.stream(channel)
        try:
            check_event(event)
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error
        wait = assurance.get("wait", False)
        replicas = assurance.get("replicas", 0)
        timeout_ms = assurance.get("replica_timeout_ms", REPLICA_TIMEOUT_MS)
        if not 0 <= wait < math.inf:
            raise ValueError(f"wait: expected True, False or seconds, got {wait}")
        if replicas < 0 or timeout_ms < 1:
            raise ValueError(
                "replicas, replica_timeout_ms: expected a number and at least 1 ms, got "
                f"{replicas} and {timeout_ms}"
            )
        ticket = Ticket(patient=wait is not False)
        self._sender.submit(
            Waiting(
                channel,
                stream.kind,
                str(event),
                change,
                0 if lease is None else _lease_ms(lease),
                [*others, ticket],
                replicas=replicas,
                replica_timeout_ms=timeout_ms if replicas else 0,
            )
        )
        return ticket

    def _stream(self, channel: str) -> Stream:
        """The options of the channel's stream."""
        try:
            check_publishable(channel)
        except ProtocolError as error:
            raise PublishRefused(channel, error.message) from error
        return stream_options(channel, self._streams)


def _lease_ms(lease: float) -> int:
    if not 0 <= lease < math.inf:
        raise ValueError(f"lease: expected seconds, got {lease}")
    return math.ceil(1000 * lease)


def _require_text(where: str, text: str) -> str:
    """Refuse what is no text: Redis would not be asked, and everybody's publishes fail with it."""
    try:
        if isinstance(text, str):
            text.encode()
            return text
    except UnicodeEncodeError:
        pass
    raise InvalidPayload(where, "valid Unicode text", text)
