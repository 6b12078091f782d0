"""What a client may ask of the hub: `{"id": 1, "method": "...", "params": {...}}`."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from hub.protocol import codes
from hub.protocol.agent_commands import MAX_EXPIRY_MS, MIN_EXPIRY_MS
from hub.protocol.channels import check_channel, check_event
from hub.protocol.errors import ChannelNameError, CommandError
from hub.protocol.position import MAX_SEQ, Position

Id: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
MAX_INTERVAL_MS = 60_000


class Auth(msgspec.Struct, frozen=True):
    """Who this connection is, where the handshake did not say."""

    token: str


class Subscribe(msgspec.Struct, frozen=True):
    """Follow a channel, from `since` where given. A second one changes the options alone.

    interval_ms: at most one update in so long, conflated; 0 for each. A log ignores it.
    """

    channel: str
    since: Position | None = None
    interval_ms: Annotated[int, Meta(ge=0, le=MAX_INTERVAL_MS)] = 0


class Unsubscribe(msgspec.Struct, frozen=True):
    """Follow a channel no longer."""

    channel: str


class Publish(msgspec.Struct, frozen=True):
    """Publish without Redis, or send a command to an agent. `producer` and `n` are the publish's
    id, where a retry must not publish twice; `key` is that of `publication.AppendEntry`.

    expires_in_ms: of a command alone: no agent begins it later.
    """

    channel: str
    event: str
    data: msgspec.Raw
    producer: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")] | None = None
    n: Annotated[int, Meta(ge=0, le=MAX_SEQ)] | None = None
    key: Annotated[str, Meta(max_length=255)] = ""
    expires_in_ms: Annotated[int, Meta(ge=MIN_EXPIRY_MS, le=MAX_EXPIRY_MS)] | None = None


class Ping(msgspec.Struct, frozen=True):
    """Answered at once, for clients that cannot send a WebSocket ping."""


Params: TypeAlias = Auth | Subscribe | Unsubscribe | Publish | Ping

_METHODS: dict[str, type[Params]] = {
    "auth": Auth,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "publish": Publish,
    "ping": Ping,
}


class Command(msgspec.Struct, frozen=True):
    """One command: `id` is repeated in its reply."""

    id: int
    params: Params


class NotACommand(CommandError):
    """A text frame that is no JSON object: a handful of them ends the connection."""


class _Outer(msgspec.Struct):
    id: Any = None
    method: Any = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


_decode_outer = msgspec.json.Decoder(_Outer).decode
_decoders = {name: msgspec.json.Decoder(params) for name, params in _METHODS.items()}


def decode_command(text: bytes | str) -> Command:
    """Read one text frame.

    Raises NotACommand where it is no JSON object, and CommandError with the command's id where it
    is one that cannot be carried out. Unknown fields are ignored.
    """
    try:
        outer = _decode_outer(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NotACommand(f"expected one JSON object a text frame: {error}") from None
    id = outer.id if _is_id(outer.id) else None
    if id is None:
        raise CommandError('expected "id" to be a whole number from 0 to 2^53 - 1')
    decoder = _decoders.get(outer.method) if isinstance(outer.method, str) else None
    if decoder is None:
        raise CommandError(
            f'expected "method" to be one of {", ".join(_METHODS)}, got {outer.method!r:.80}',
            id=id,
            code=codes.NOT_FOUND,
        )
    try:
        params = decoder.decode(outer.params)
        _check_names(params)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f'"params" of {outer.method}: {error}', id=id) from None
    except ChannelNameError as error:
        raise CommandError(error.message, id=id) from None
    return Command(id, params)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_SEQ


def _check_names(params: Params) -> None:
    if isinstance(params, Subscribe | Unsubscribe | Publish):
        check_channel(params.channel)
    if isinstance(params, Publish):
        check_event(params.event)
