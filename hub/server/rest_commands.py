"""Commands to agents over HTTP: a publish to the channel of an agent."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from hub.core.grant import Grant
from hub.protocol import codes
from hub.protocol.agent_commands import (
    MAX_EXPIRY_MS,
    MIN_EXPIRY_MS,
    STEP_PREFIX,
    CommandReceipt,
    CommandState,
    Denial,
    command_request,
)
from hub.protocol.errors import ProtocolError
from hub.server.access import whole_number
from hub.server.answers import JsonAnswer
from hub.server.commanding import command_id
from hub.server.endings import Ending, ending_of
from hub.server.hub import Hub

MAX_WAIT_MS: Final = 30_000
"""How long a request may ask to be held until its command has ended."""
MAX_WAITING_REQUESTS: Final = 256


class PostedCommand(msgspec.Struct, frozen=True):
    """The body that asks for a command."""

    event: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    expires_in_ms: Annotated[int, msgspec.Meta(ge=MIN_EXPIRY_MS, le=MAX_EXPIRY_MS)] | None = None


_decode = msgspec.json.Decoder(PostedCommand).decode


def read_command(body: bytes) -> PostedCommand:
    """Read `{"event", "data"?, "expires_in_ms"?}`. Raises ProtocolError."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        expected = 'one command, {"event": ..., "data": {...}}'
        raise ProtocolError(f"expected {expected}: {error}") from None


class Commands:
    """The commands that come over HTTP to one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting = 0

    def check_right(self, grant: Grant, channel: str, origin: str, event: str = "") -> None:
        """Raise ProtocolError, and note it, where the grant does not allow commanding."""
        if not grant.may_command(channel):
            self._hub.commanding.deny(Denial(channel, event, grant.subject, origin))
            message = f"the token does not allow commanding {channel}"
            raise ProtocolError(message, code=codes.FORBIDDEN)

    async def send(
        self,
        grant: Grant,
        channel: str,
        posted: PostedCommand,
        *,
        key: str | None,
        origin: str,
        wait_ms: int = 0,
    ) -> tuple[CommandReceipt, Ending | None]:
        """Send a command; wait for its end where asked to, None where it did not come in time, or
        the hub is drained.

        key: what makes a repetition the same command. Raises ProtocolError and
        BrokerUnavailableError.
        """
        # No producer that a socket names has a colon in it.
        producer, n = (None, None) if key is None else (f"http:{key}", 0)
        request = command_request(
            channel=channel,
            id=command_id(grant.subject, producer, n),
            event=posted.event,
            data=bytes(posted.data),
            sender=grant.subject,
            origin=origin,
            expires_in_ms=posted.expires_in_ms,
        )
        receipt = await self._hub.commanding.submit(request)
        return receipt, await self._ending(channel, receipt, wait_ms) if wait_ms else None

    async def _ending(self, channel: str, receipt: CommandReceipt, wait_ms: int) -> Ending | None:
        if self._waiting >= MAX_WAITING_REQUESTS:
            # It was sent, and who asks again with the same key may wait then.
            return None
        self._waiting += 1
        ending = asyncio.ensure_future(ending_of(self._hub, channel, receipt))
        leaving = asyncio.ensure_future(self._hub.leaving.wait())
        both = (ending, leaving)
        try:
            # A hub that ends holds nobody: whoever asks again is answered by another.
            await asyncio.wait(both, timeout=wait_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
            return ending.result() if ending.done() else None
        finally:
            for each in both:
                each.cancel()
            await asyncio.wait(both)
            self._waiting -= 1


def command_answer(channel: str, receipt: CommandReceipt, ending: Ending | None) -> Response:
    """The answer to a command: 202 until it has ended, then 200, with the end where it was waited
    for."""
    at = receipt.position
    state = (
        receipt.state if ending is None else CommandState(ending.event.removeprefix(STEP_PREFIX))
    )
    fields = {
        "channel": channel,
        "epoch": at.epoch,
        "seq": at.seq,
        "tag": at.tag,
        "unchanged": False,
        "command": {"id": receipt.id, "state": state, "expires_at": receipt.expires_at},
    }
    under_way = state in (CommandState.SENT, CommandState.ACCEPTED)
    status = HTTPStatus.ACCEPTED if under_way else HTTPStatus.OK
    return JsonAnswer(fields if ending is None else {**fields, "end": ending}, status)


def wait_of(text: str | None) -> int:
    """Read `?wait_ms=`. Raises ProtocolError."""
    return 0 if text is None else whole_number("wait_ms", text, 0, MAX_WAIT_MS)
