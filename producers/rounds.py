"""A round: publishes with their ids, as the commands of one pipeline."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Final

from hub.protocol.publication import Publication
from hub.protocol.scripts import PUBLISH, publish_call
from hub.protocol.streams import Stream, stream_options
from producers.answers import Ticket
from producers.buffer import Waiting
from producers.link import Command

LOAD_SCRIPT: Final[Command] = ("SCRIPT", "LOAD", PUBLISH)
_PUBLISH_SHA: Final = sha1(PUBLISH.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class InRound:
    """A publish on its way. waiting: None where Redis lost it and nobody waits for it any more."""

    publication: Publication
    waiting: Waiting[Ticket] | None = None


def in_round(waiting: Waiting[Ticket]) -> InRound:
    """A publish that has its id, ready to be sent."""
    publication = Publication(
        waiting.channel,
        waiting.kind,
        waiting.event,
        waiting.change,
        waiting.producer,
        waiting.n,
        waiting.lease_ms,
    )
    return InRound(publication, waiting)


def calls(batch: Sequence[InRound], streams: Mapping[str, Stream]) -> list[Command]:
    """A call of the publish script for each."""
    new_epoch = secrets.token_urlsafe(6)
    options: dict[str, Stream] = {}
    commands: list[Command] = []
    for each in batch:
        channel = each.publication.channel
        stream = options.get(channel)
        if stream is None:
            stream = options[channel] = stream_options(channel, streams)
        keys, args = publish_call(each.publication, stream, new_epoch)
        commands.append(("EVALSHA", _PUBLISH_SHA, len(keys), *keys, *args))
    return commands


def wait_call(batch: Sequence[InRound]) -> tuple[Command, float] | None:
    """What waits for the most replicas that somebody asked for, and for how many seconds."""
    asked = [each.waiting for each in batch if each.waiting is not None and each.waiting.replicas]
    if not asked:
        return None
    timeout_ms = max(waiting.replica_timeout_ms for waiting in asked)
    return ("WAIT", max(waiting.replicas for waiting in asked), timeout_ms), timeout_ms / 1000
