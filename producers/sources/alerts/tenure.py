"""Who is active: the one whose token stands in the lease.

It is renewed several times within its length. Who could not renew it for that long, or finds
another's token there, is active no more and stops; nothing that such a one still writes is taken
(see `scripts`). When the active one dies, another has the lease after its length at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Final

from hub.protocol.scripts import Call
from producers.errors import SourceError
from producers.sources.alerts.link import Link
from producers.sources.alerts.scripts import GIVE_UP, HOLD, Place, hold_call

logger = logging.getLogger(__name__)

LEASE_SECONDS: Final = 5.0
RENEWALS: Final = 5
"""How often it is renewed, and asked for, within its length."""


class Tenure:
    """One candidate. token: its own, new for each."""

    def __init__(self, link: Link, place: Place, lease_seconds: float) -> None:
        self.token = secrets.token_hex(12)
        self._link = link
        self._place = place
        self._lease_ms = round(1000 * lease_seconds)
        self._seconds = lease_seconds
        self._renewed_at = 0.0

    async def take(self) -> bool:
        """Whether it is active now; raises SourceError where Redis can't be asked."""
        return await self._hold(take=True)

    async def keep(self) -> None:
        """Renew the lease; return when it is lost."""
        loop = asyncio.get_running_loop()
        while loop.time() - self._renewed_at < self._seconds:
            await asyncio.sleep(self._seconds / RENEWALS)
            try:
                if not await self._hold(take=False):
                    logger.warning("another is active now")
                    return
            except SourceError as error:
                logger.warning("could not renew the lease: %s", error)
        logger.warning("not active any more: the lease could not be renewed in time")

    async def give_up(self) -> None:
        """Let another take it at once."""
        # Where this fails it runs out by itself.
        with contextlib.suppress(SourceError):
            await self._link.call(GIVE_UP, [Call((self._place.lease,), (self.token,))])

    async def _hold(self, *, take: bool) -> bool:
        # Redis counts from later on, so that it is never ours for longer than Redis says.
        asked_at = asyncio.get_running_loop().time()
        call = hold_call(self._place, self.token, self._lease_ms, take=take)
        try:
            async with asyncio.timeout(self._seconds):
                [reply] = await self._link.call(HOLD, [call])
        except TimeoutError:
            raise SourceError(f"no answer about the lease in {self._seconds:g} s") from None
        if reply == 1:
            self._renewed_at = asked_at
        return bool(reply == 1)
