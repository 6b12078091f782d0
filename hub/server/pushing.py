"""The hub's side of Web Push: which browsers may be told of alerts, and until when.

The hub keeps subscriptions, and pushes nothing: whoever evaluates alerts has the private key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NoReturn

from hub.broker.base import Broker, BrokerUnavailableError
from hub.broker.push import PushStore
from hub.protocol import codes
from hub.protocol.errors import ProtocolError
from hub.protocol.push import PushSubscription
from hub.server.auth import Authenticator
from hub.server.settings import Settings

logger = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 10.0
"""How long a revoked API key's browsers may still be told."""

NO_KEY: Final = (
    "this hub offers no Web Push: `tapecast push-keys` makes a pair of keys, "
    "TAPECAST_PUSH_PUBLIC_KEY has the public one"
)
NO_STORE: Final = "this hub's channels are in its memory, where no alerts are pushed from"


class Pushing:
    """The subscriptions that one hub takes."""

    def __init__(
        self,
        broker: Broker,
        authenticator: Authenticator,
        settings: Settings,
        wall_clock: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._authenticator = authenticator
        self._settings = settings
        self._wall_clock = wall_clock

    @property
    def public_key(self) -> str:
        return self._settings.push_public_key

    @property
    def is_on(self) -> bool:
        return bool(self.public_key) and self._broker.push is not None

    def require_store(self) -> PushStore:
        """Where they are kept; raises ProtocolError where this hub offers no Web Push."""
        store = self._broker.push
        if not self.public_key:
            raise ProtocolError(NO_KEY, code=codes.NOT_FOUND)
        if store is None:
            raise ProtocolError(NO_STORE, code=codes.NOT_FOUND)
        return store

    async def sweep(self) -> NoReturn:
        """Take subscriptions away that have no right any more, for ever."""
        store, away = self.require_store(), False
        while True:
            try:
                dropped = await store.sweep(self._is_revoked, self._wall_clock())
                if dropped:
                    logger.info("%d push subscriptions came to their end", dropped)
                away = False
            except BrokerUnavailableError as error:
                if not away:
                    logger.warning("push subscriptions can't be looked through: %s", error)
                away = True
            await asyncio.sleep(SWEEP_SECONDS)

    def _is_revoked(self, subscription: PushSubscription) -> bool:
        return not self._authenticator.has_key(subscription.key_id)
