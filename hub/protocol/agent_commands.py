"""Commands from dashboards to agents: where they travel, what they are called, what they carry.

`commands:desk-7` is the channel of the agent `desk-7`, `commands` that of the agent without a name.
It is a log that nobody publishes to as to others: a hub sends commands to it, on behalf of whoever
may command, and the steps of each command follow there, down to its one end. What happens between
is decided by the scripts (`command_scripts`).
"""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import Any, Final

import msgspec

from hub.protocol import codes
from hub.protocol.channels import check_channel, check_event, check_pattern, stream_of
from hub.protocol.errors import ChannelNameError, PayloadError, ProtocolError
from hub.protocol.keys import NAMES_KEPT
from hub.protocol.payload import canonical, parse
from hub.protocol.position import Position

STREAM: Final = "commands"

MAX_COMMAND_BYTES: Final = 16 * 1024
"""Of a command's data, and of its result."""
MAX_REASON_CHARACTERS: Final = 1_000
MIN_EXPIRY_MS: Final = 100
DEFAULT_EXPIRY_MS: Final = 30_000
MAX_EXPIRY_MS: Final = 24 * 3600 * 1000

STEP_PREFIX: Final = "command."
"""What the steps' events begin with, and no command's may."""


class Name(enum.StrEnum):
    """The commands that have a meaning here; any other event is a command of the agent's own."""

    START = "agent.start"
    PAUSE = "agent.pause"
    RESUME = "agent.resume"
    STOP = "agent.stop"
    EMERGENCY_STOP = "emergency.stop"
    """Goes before all others, and ends those that were not accepted yet."""
    CLOSE_POSITION = "position.close"
    """Data: `id`, the position's."""
    SET_CONFIG = "config.set"
    """Data: the settings to change, by name."""


class CommandState(enum.StrEnum):
    """Where a command is; the last three are its end, and there is one."""

    SENT = "sent"
    ACCEPTED = "accepted"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class Step(enum.StrEnum):
    """The events of what becomes of a command."""

    ACCEPTED = "command.accepted"
    DONE = "command.done"
    FAILED = "command.failed"
    EXPIRED = "command.expired"


ENDS: Final = frozenset({Step.DONE, Step.FAILED, Step.EXPIRED})


class CommandRequest(msgspec.Struct, frozen=True):
    """A command to be sent; make it with `command_request`, which checks it.

    id: the same one again is the same command. data: a JSON object, canonical. sender: the subject
    whose token was shown. origin: where it came from, for the audit.
    """

    channel: str
    id: str
    event: str
    data: bytes
    sender: str
    origin: str
    expires_in_ms: int = DEFAULT_EXPIRY_MS


class CommandReceipt(msgspec.Struct, frozen=True):
    """What became of a command that was sent.

    position: of the command in its channel's log; its steps come after it. expires_at: by the
    broker's clock (microseconds, UTC). state: now; `sent` unless it is a duplicate.
    """

    id: str
    position: Position
    expires_at: int
    state: CommandState = CommandState.SENT
    duplicate: bool = False


class Denial(msgspec.Struct, frozen=True):
    """A command that somebody had no right to send, for the audit."""

    channel: str
    event: str
    sender: str
    origin: str


def is_commands(channel: str) -> bool:
    """Whether a channel carries commands to an agent."""
    return stream_of(channel) == STREAM


def agent_channel(agent: str | None) -> str:
    """The channel that an agent takes its commands from. Raises ChannelNameError."""
    return check_channel(STREAM if agent is None else f"{STREAM}:{agent}")


def check_command_pattern(pattern: str) -> str:
    """Return `pattern`, or raise ChannelNameError where it takes no channel of commands."""
    if check_pattern(pattern) == "*" or is_commands(pattern):
        return pattern
    raise ChannelNameError(
        f"expected a pattern of agents' channels ('{STREAM}', '{STREAM}:NAME', '{STREAM}:*' or "
        f"'*'), got {pattern!r:.80}"
    )


@lru_cache(NAMES_KEPT)
def check_publishable(channel: str) -> str:
    """Return a channel's name, or raise: ChannelNameError, and ProtocolError where commands travel,
    since what is published there would look like one and be none."""
    if is_commands(check_channel(channel)):
        message = (
            f"{channel}: commands are sent through a hub, which says who sent them "
            "(`tapecast command`)"
        )
        raise ProtocolError(message, code=codes.FORBIDDEN)
    return channel


def command_request(
    *,
    channel: str,
    id: str,
    event: str,
    data: bytes,
    sender: str,
    origin: str,
    expires_in_ms: int | None = None,
) -> CommandRequest:
    """Check a command from outside: `data` is JSON as it came. Raises ProtocolError."""
    if check_event(event).startswith(STEP_PREFIX):
        raise ProtocolError(f"expected no event that begins with {STEP_PREFIX!r}, got {event!r}")
    if expires_in_ms is None:
        expires_in_ms = DEFAULT_EXPIRY_MS
    found = parse(data)
    # As it stands among others in the log: a level deeper, and with a subject that may read "NaN".
    parse(b'{"data":%b,"sender":%b}' % (data, msgspec.json.encode(sender)))
    asked = {} if found is None else found
    if not isinstance(asked, dict):
        raise PayloadError(f"{event}: expected an object as data, got {asked!r:.80}")
    _check_data(event, asked)
    data = canonical(data) if asked else b"{}"
    if len(data) > MAX_COMMAND_BYTES:
        raise PayloadError(
            f"{event}: expected at most {MAX_COMMAND_BYTES} bytes of data, got {len(data)}",
            code=codes.TOO_LARGE,
        )
    return CommandRequest(channel, id, event, data, sender, origin, expires_in_ms)


def _check_data(event: str, data: dict[str, Any]) -> None:
    """What is wrong for every agent is said before an agent is asked."""
    if event == Name.CLOSE_POSITION and not (isinstance(data.get("id"), str) and data["id"]):
        raise PayloadError(f'{event}: expected {{"id": ...}}, the id of the position to close')
    if event == Name.SET_CONFIG and not data:
        raise PayloadError(f"{event}: expected the settings to change, by name")


def check_outcome(field: str, encoded: bytes) -> bytes:
    """Check the `result` or `reason` that an agent ends a command with, as JSON; canonical.

    Raises PayloadError.
    """
    parse(b'{"%b":%b}' % (field.encode(), encoded))
    outcome = canonical(encoded)
    if len(outcome) > MAX_COMMAND_BYTES:
        raise PayloadError(
            f"{field}: expected at most {MAX_COMMAND_BYTES} bytes, got {len(outcome)}",
            code=codes.TOO_LARGE,
        )
    return outcome
