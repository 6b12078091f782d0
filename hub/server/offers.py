"""What sessions publish, and their commands to agents: on the way to the broker, and the answer
back to the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.core.session import Dispatch, Offer, Session
from hub.protocol import codes
from hub.protocol.agent_commands import CommandReceipt, Denial, command_request
from hub.protocol.commands import Publish
from hub.protocol.errors import ProtocolError
from hub.protocol.publication import Receipt
from hub.server.commanding import Commanding, command_id, origin_of
from hub.server.connection import Connection
from hub.server.ingest import Ingest, PublishRequest, producer_id


def offer(ingest: Ingest, session: Session, effect: Offer, clock: Callable[[], float]) -> None:
    """Publish what the session offers; it is told the outcome, also where it has ended since."""
    params = effect.params
    assert session.grant is not None, "the session has checked it"
    if params.producer is None or params.n is None:
        producer, n = ingest.next_id()
    else:
        producer, n = producer_id(session.grant.subject, params.producer), params.n
    request = PublishRequest(
        params.channel, params.event, bytes(params.data), producer, n, params.key
    )

    def answer(done: asyncio.Future[Receipt]) -> None:
        if done.cancelled():
            return
        match done.exception():
            case None:
                receipt = done.result()
                session.published(
                    effect.id,
                    params.channel,
                    receipt.position,
                    clock(),
                    unchanged=receipt.unchanged,
                )
            case ProtocolError() as refused:
                session.fail_publish(effect.id, refused.code, refused.message, clock())
            case error:
                session.fail_publish(effect.id, codes.UNAVAILABLE, str(error), clock())

    ingest.submit(request).add_done_callback(answer)


def dispatch(
    commanding: Commanding, connection: Connection, effect: Dispatch, clock: Callable[[], float]
) -> None:
    """Send the command of a session; it is told the outcome, also where it has ended since."""
    params, session = effect.params, connection.session
    assert session.grant is not None, "the session has checked it"
    subject = session.grant.subject
    try:
        request = command_request(
            channel=params.channel,
            id=command_id(subject, params.producer, params.n),
            event=params.event,
            data=bytes(params.data),
            sender=subject,
            origin=origin_of("socket", connection.peer, session.grant),
            expires_in_ms=params.expires_in_ms,
        )
    except ProtocolError as refused:
        session.fail_publish(effect.id, refused.code, refused.message, clock())
        return

    def answer(done: asyncio.Future[CommandReceipt]) -> None:
        if done.cancelled():
            return
        match done.exception():
            case None:
                session.commanded(effect.id, params.channel, done.result(), clock())
            case ProtocolError() as refused:
                session.fail_publish(effect.id, refused.code, refused.message, clock())
            case error:
                session.fail_publish(effect.id, codes.UNAVAILABLE, str(error), clock())

    commanding.submit(request).add_done_callback(answer)


def deny(commanding: Commanding, connection: Connection, params: Publish) -> None:
    """Note a command that a session had no right to send."""
    grant = connection.session.grant
    assert grant is not None, "the session has checked it"
    origin = origin_of("socket", connection.peer, grant)
    commanding.deny(Denial(params.channel, params.event, grant.subject, origin))
