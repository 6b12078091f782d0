"""What sessions publish: on its way to the broker, and the answer back to the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hub.core.session import Offer, Session
from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.protocol.publication import Receipt
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
