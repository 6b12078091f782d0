"""Where publishes lie that Redis has no answer for, and who is told so.

The rules:

1. While Redis answers, nobody is told anything but its answer, and nothing is written to disk.
2. When it is held up, everything that waits is spooled, where there is a spool. Who does not wait
   for Redis is told so once it is on disk, or that it is in memory where it can't be.
3. A spool that is there always has everything all the time, and those who do not wait are told by
   whichever has it first, disk or Redis.
4. When the run ends, what waits is spooled, and all are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hub.protocol.publication import Touch
from producers.answers import Answer, Outcome, Ticket
from producers.buffer import Waiting
from producers.errors import PublisherClosed
from producers.spool import Spool


class Keeping:
    """give_id: gives a publish the id that it is sent with, and that it must be spooled with."""

    def __init__(self, spool: Spool | None, give_id: Callable[[Waiting[Ticket]], None]) -> None:
        self._spool = spool
        self._give_id = give_id
        self._is_held_up = False
        self.keeps = spool is not None and spool.always
        """Whether what is submitted is to be kept at once."""

    @property
    def where(self) -> str:
        """What becomes of publishes that have no answer when the run ends."""
        return "which are lost" if self._spool is None else f"kept in {self._spool.path}"

    async def open(self) -> list[Waiting[Ticket]]:
        """What an earlier run left, oldest first. Raises SpoolInUse and SpoolError."""
        return [] if self._spool is None else await self._spool.open()

    async def close(self) -> None:
        """Write what is to be written."""
        if self._spool is not None:
            await self._spool.close()

    def keep(self, waiting: Waiting[Ticket]) -> None:
        """A publish waits now, or one that waited has changed."""
        tickets = tuple(waiting.tickets)
        # Renewed by an earlier run, a lease would say that this one is well.
        if self._spool is None or isinstance(waiting.change, Touch):
            self._tell(tickets, is_spooled=False)
            return
        self._give_id(waiting)
        self._spool.put(waiting, lambda written: self._tell(tickets, is_spooled=written))

    def hold_up(self, waiting: Callable[[], Iterable[Waiting[Ticket]]]) -> None:
        """Nobody should count on an answer of Redis soon, and all of `waiting` waits for one."""
        if self._is_held_up:
            # All of it is kept, and what was submitted since.
            return
        self._is_held_up = self.keeps = True
        for each in waiting():
            if not (each.row and all(ticket.spooled for ticket in each.tickets)):
                self.keep(each)

    def let_go(self) -> None:
        """Redis answers as it should."""
        self._is_held_up = False
        self.keeps = self._spool is not None and self._spool.always

    def forget(self, waiting: Waiting[Ticket]) -> None:
        """A publish waits no longer."""
        if self._spool is not None:
            self._spool.forget(waiting)

    def end(self, waiting: Iterable[Waiting[Ticket]], why: str) -> None:
        """The run is over, and all of this has no answer."""
        for each in waiting:
            tickets = tuple(each.tickets)
            closed = PublisherClosed(each.channel, why)
            if self._spool is None or isinstance(each.change, Touch):
                _tell_end(tickets, closed, is_spooled=False)
            else:
                self._give_id(each)
                self._spool.put(each, _telling_end(tickets, closed))

    def _tell(self, tickets: Iterable[Ticket], *, is_spooled: bool) -> None:
        for ticket in tickets:
            ticket.spooled = ticket.spooled or is_spooled
            if ticket.patient:
                continue
            if is_spooled:
                ticket.answer(Answer(Outcome.SPOOLED))
            elif self._is_held_up:
                ticket.answer(Answer(Outcome.BUFFERED))


def _telling_end(tickets: Iterable[Ticket], closed: PublisherClosed) -> Callable[[bool], None]:
    return lambda written: _tell_end(tickets, closed, is_spooled=written)


def _tell_end(tickets: Iterable[Ticket], closed: PublisherClosed, *, is_spooled: bool) -> None:
    for ticket in tickets:
        if is_spooled or ticket.spooled:
            ticket.answer(Answer(Outcome.SPOOLED))
        else:
            ticket.fail(closed)
