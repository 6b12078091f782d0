"""Where channels live. The docstrings here are the specification; the contract suite in
tests/broker holds every broker to them."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from broadcaster import BroadcastBackend, Event

from hub.protocol import codes
from hub.protocol.agent_commands import CommandReceipt, CommandRequest, Denial
from hub.protocol.errors import ProtocolError
from hub.protocol.position import Position
from hub.protocol.publication import Publication, Receipt
from hub.protocol.reading import ChannelReading

if TYPE_CHECKING:
    from hub.broker.push import PushStore


class BrokerUnavailableError(Exception):
    """The broker could not be reached in time. A publish that ended so may have happened: send it
    again with the same id."""


class ChannelUnavailableError(BrokerUnavailableError):
    """The broker answers, and can't serve this one channel: it was damaged by hand. The others are
    as they were."""


class Link(enum.Enum):
    """What a broker says on a channel about the link that its messages come on."""

    RESTORED = "restored"
    """The link was away and the subscription is confirmed anew; anything may have been missed."""


class Broker(BroadcastBackend, ABC):
    """A place where channels live, and a backend of `broadcaster.Broadcast`.

    The Broadcast reads `next_published` in one task; its events carry the channel's name (not
    the pub/sub name) and, as message, the published bytes or a `Link`.
    """

    @abstractmethod
    async def connect(self) -> None:
        """Begin to reach the broker; returns at once when it is away, and goes on trying."""

    @abstractmethod
    async def disconnect(self) -> None:
        """End every task and link of this broker. Called once, after which nothing else is."""

    @abstractmethod
    async def subscribe(self, group: str) -> None:
        """Receive what is published to the channel `group`.

        Returns when the broker has confirmed it: every publish that begins afterwards is heard.
        Raises BrokerUnavailableError where no confirmation came in time; then the subscription is
        not held. Returns at once where the subscription is held already: so a caller may first wait
        for it here, and then enter `Broadcast.subscribe`, which does not survive a failure in it.
        Two at the same moment are a mistake: an AssertionError where the first still waits.
        """

    @abstractmethod
    async def unsubscribe(self, group: str) -> None:
        """Receive no more of the channel `group`. Does not wait for the broker, never fails."""

    @abstractmethod
    async def publish(self, channel: str, message: bytes) -> None:
        """A bare publish, live only and without a position, as a foreign publisher would.

        It has no id: where the link was lost it may be heard twice. Raises BrokerUnavailableError.
        """

    @abstractmethod
    async def next_published(self) -> Event:
        """The next event on any subscribed channel, in each channel's order of publishing.

        Never raises but for cancellation: a link that went away shows as `Link.RESTORED` on every
        channel once it is back.
        """

    @abstractmethod
    async def store(self, publications: Sequence[Publication]) -> list[Receipt | Exception]:
        """Publish changes, each atomically, in order; one answer each, in the same order.

        An answer is a Receipt, the ProtocolError that this publish was refused with, or the
        BrokerUnavailableError where the broker could not take this one just now. A publish
        whose (producer, n) was answered before is answered the same and does nothing. A value or
        row that equals the state, or a keyed log entry that equals the last under its key, is not
        published; it still renews the lease. A channel's kind is that of its first publish.
        Raises BrokerUnavailableError where the broker did not answer: for all of them.
        """

    @abstractmethod
    async def claim(self, channel: str, producer: str, asked: bytes) -> bool:
        """Whether `producer` may publish `asked` to the channel: where it asked for something else
        before, within a day, it may not. Raises BrokerUnavailableError.
        """

    async def send_commands(
        self, requests: Sequence[CommandRequest]
    ) -> list[CommandReceipt | Exception]:
        """Send commands to agents, each atomically, in order; one answer each, in the same order.

        An answer is a receipt, the ProtocolError that this command was refused with, or the
        BrokerUnavailableError where the broker could not take it just now. A command whose id was
        sent before is answered with where it is. Raises BrokerUnavailableError where the broker did
        not answer. A broker that agents can't reach refuses them.
        """
        reason = "this hub's channels are in its memory, where no agent takes commands from"
        return [ProtocolError(reason, code=codes.NOT_FOUND) for _ in requests]

    async def sweep_commands(self) -> None:
        """Bring to its end every command that is due: expired, or left by a worker that died,
        whichever hub sent it. Raises BrokerUnavailableError."""

    async def note_denied(self, denials: Sequence[Denial]) -> None:
        """Record in the audit who tried to send commands without the right to. Raises
        BrokerUnavailableError."""

    @abstractmethod
    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        """The channel at one moment: head, state, and at most `limit` entries after seq `since`
        (oldest first), or the newest `limit` where `since` is None. Raises BrokerUnavailableError,
        ChannelUnavailableError where it is this channel's.
        """

    @abstractmethod
    async def heads(self, channels: Sequence[str]) -> list[Position | None]:
        """Where each channel stands; None where nothing was published. Raises
        BrokerUnavailableError."""

    @abstractmethod
    async def channels(self) -> list[str]:
        """The names of all channels that were published to, sorted. Raises
        BrokerUnavailableError."""

    @property
    def push(self) -> PushStore | None:
        """Where subscriptions to Web Push are kept; None where no producer could read them."""
        return None

    @property
    @abstractmethod
    def delivering(self) -> bool:
        """Whether a probe that this broker published to itself came back within its deadline."""

    @property
    def reconnects(self) -> int:
        """How many links for messages were made in place of one that was lost; a broker that has no
        links has lost none."""
        return 0
