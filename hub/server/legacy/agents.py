"""What old dashboards tell the agent: commands like any other's, answered when they have ended.

The old server did itself what it was told, so its answers said what came of it. Here an agent does
it, and the answer waits for the end; what nobody begins within a few seconds is not begun at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hub.core.grant import Grant
from hub.protocol.agent_commands import Name, Step
from hub.server.rest_commands import Commands, PostedCommand

if TYPE_CHECKING:
    from hub.server.legacy.places import Legacy

EXPIRES_MS: Final = 10_000
WAIT_MS: Final = 15_000
"""How long the end is waited for: longer than until the command expires, so that it is known
unless the agent takes its time."""

DONE: Final[Mapping[Name, str]] = {
    Name.START: "started",
    Name.STOP: "stopped",
    Name.PAUSE: "paused",
    Name.RESUME: "resumed",
    Name.EMERGENCY_STOP: "emergency_stopped",
    Name.CLOSE_POSITION: "closed",
}
"""The commands that old dashboards know, each with what is said when it was done."""


# With the digits that a number came with.
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Told(msgspec.Struct, frozen=True):
    """What came of a command. status: of the answer over HTTP; fields: of its body."""

    status: HTTPStatus
    fields: dict[str, Any]

    @property
    def is_done(self) -> bool:
        return self.status is HTTPStatus.OK


class AgentCommands:
    """The commands of old dashboards to the one agent that they know."""

    def __init__(self, legacy: Legacy) -> None:
        self._channel = legacy.channel("commands")
        self._commands = Commands(legacy.hub)

    async def tell(
        self, grant: Grant, name: Name, data: object, *, origin: str, key: str | None = None
    ) -> Told:
        """Send a command and wait for its end. Raises ProtocolError and BrokerUnavailableError.

        key: what makes a repetition the same command.
        """
        self._commands.check_right(grant, self._channel, origin, name)
        posted = PostedCommand(name, msgspec.Raw(_encode(data)), EXPIRES_MS)
        sent, ending = await self._commands.send(
            grant, self._channel, posted, key=key, origin=origin, wait_ms=WAIT_MS
        )
        fields: dict[str, Any] = {"command_id": sent.id}
        match None if ending is None else ending.event:
            case None:
                message = f"{name}: what came of it is not known yet"
                return _failed(HTTPStatus.GATEWAY_TIMEOUT, "unknown", message, fields)
            case Step.DONE:
                assert ending is not None
                fields |= {"status": DONE[name], "result": ending.data.get("result")}
                return Told(HTTPStatus.OK, {**fields, "message": f"{name}: done"})
            case Step.EXPIRED:
                message = f"{name}: no agent accepted it in time, and none will"
                return _failed(HTTPStatus.SERVICE_UNAVAILABLE, "expired", message, fields)
        assert ending is not None
        message = f"{name}: {ending.data.get('reason')}"
        return _failed(HTTPStatus.CONFLICT, "failed", message, fields)


def _failed(status: HTTPStatus, word: str, message: str, fields: dict[str, Any]) -> Told:
    # The text is where old dashboards look for it.
    return Told(status, {**fields, "status": word, "message": message, "detail": message})
