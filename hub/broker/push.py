"""Subscriptions to Web Push, where hubs keep them and whoever pushes reads them: in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from redis.exceptions import ResponseError

from hub.broker.base import BrokerUnavailableError
from hub.broker.resp import Command
from hub.protocol import codes, keys
from hub.protocol.errors import ProtocolError
from hub.protocol.push import (
    ADD,
    DROP,
    MAX_SUBSCRIPTIONS,
    PushSubscription,
    add_call,
    drop_call,
    read_subscription,
)
from hub.protocol.scripts import Call

Exchange: TypeAlias = Callable[[Sequence[Command]], Awaitable[list[Any]]]
CallScript: TypeAlias = Callable[[str, Sequence[Call]], Awaitable[list[Any]]]


class PushStore:
    """The hash of subscriptions, over the exchanges of a RedisBroker. Each method raises
    BrokerUnavailableError."""

    def __init__(self, exchange: Exchange, call: CallScript) -> None:
        self._exchange = exchange
        self._call = call

    async def add(
        self, subscription: PushSubscription, now: float, *, most: int = MAX_SUBSCRIPTIONS
    ) -> None:
        """Keep a subscription, in place of the one with its endpoint. Raises ProtocolError where
        there is no place. now: Unix seconds."""
        if _checked(await self._call(ADD, [add_call(subscription, now, most=most)])) == b"full":
            reason = f"{most} browsers are subscribed, as many as there may be"
            raise ProtocolError(reason, code=codes.TOO_MANY)

    async def drop(self, id: str, subject: str) -> bool:
        """Forget a subject's subscription; whether there was one."""
        content = _checked(await self._exchange([("HGET", keys.PUSH_SUBSCRIPTIONS, id)]))
        kept = None if content is None else read_subscription(content)
        if kept is None or kept.subject != subject:
            return False
        return bool(_checked(await self._call(DROP, [drop_call(id, content)])))

    async def sweep(self, is_revoked: Callable[[PushSubscription], bool], now: float) -> int:
        """Forget those that have ended or are revoked; returns how many. now: Unix seconds."""
        flat = _checked(await self._exchange([("HGETALL", keys.PUSH_SUBSCRIPTIONS)]))
        calls = []
        for id, content in zip(flat[::2], flat[1::2], strict=True):
            kept = read_subscription(content)
            if kept is None or not kept.lasts(now) or is_revoked(kept):
                calls.append(drop_call(id.decode(errors="replace"), content))
        replies = await self._call(DROP, calls)
        return sum(_checked([reply]) for reply in replies)


def _checked(replies: Sequence[Any]) -> Any:
    [reply] = replies
    if isinstance(reply, ResponseError):
        raise BrokerUnavailableError(str(reply))
    return reply
