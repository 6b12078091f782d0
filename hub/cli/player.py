"""Plays a recording: every cue when it is due, and how far that is.

Rules:
1. The file is read twice: once for its cues, which are sorted by time, then each row when it is
   due. So a recording may be larger than memory, and its rows need not be in the order of time.
2. Cues that are due are published together, in their order; what is noted as played was answered.
3. What is before --from is folded into the state that a value or table begins with.
4. What an earlier run played is left out. That it was killed before it noted all of it does no
   harm: what is published again has the id that it had.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from hub.cli.moments import spell
from hub.cli.parquet import lines_to_read
from hub.cli.progress import Played, Progress
from hub.cli.stages import Cast, PlayError, Stage
from hub.client.playing import Act, Cue, Cues, LeftOut, act_of
from hub.client.recording import RecordingError, decode_row, read_rows
from hub.protocol.agent_commands import is_commands
from hub.protocol.errors import PayloadError
from hub.protocol.streams import Kind

BATCH = 256
"""Publishes in one go, fewer than the answers that are kept for a retry."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is played, and how. channels: those of the recording, empty for all. names: what a
    channel is played to, where that is another. live: whether foreign publishes are played."""

    file: Path
    speed: float
    channels: tuple[str, ...]
    names: Mapping[str, str]
    begin: int | None
    end: int | None
    play_id: str
    live: bool


class Player:
    """One play. Raises PlayError, RecordingError, NoAnswer and OSError."""

    def __init__(self, plan: Plan, stage: Stage) -> None:
        self._plan = plan
        self._stage = stage
        self._progress = Progress(plan.file.with_name(f"{plan.file.name}.played"), plan.play_id)
        self._published = 0
        self._total = 0
        self._at: int | None = None

    def progress(self) -> str:
        """How far it is, on one line."""
        where = f", at {spell(self._at)}" if self._at is not None else ""
        return f"{self._published:,} of {self._total:,} published{where}"

    async def run(self) -> None:
        """Play to the end."""
        with lines_to_read(self._plan.file) as lines, lines.open("rb") as file:
            made = Cues()
            cues = self._wanted(_cues_of(file, self._plan.file, made))
            self._check_names(made.channels)
            if not cues:
                click.echo("there is nothing to play in it, or of that time.", err=True)
                return
            done = await self._look(cues)
            states, cues = self._leave_out(file, cues, done)
            self._total = len(states) + len(cues)
            if not self._total:
                click.echo("all of it was played already; another --id plays it again.", err=True)
                return
            await self._publish([self._cast(act) for act in states])
            await self._play(file, cues, self._first(cues, anew=not any(done.values())))

    def _wanted(self, cues: Iterable[Cue]) -> list[Cue]:
        plan = self._plan
        found, left_out = [], 0
        for cue in cues:
            if plan.channels and cue.channel not in plan.channels:
                continue
            if plan.end is not None and cue.when > plan.end:
                continue
            if cue.live and not plan.live:
                left_out += 1
                continue
            found.append(cue)
        if left_out:
            click.echo(
                f"{left_out:,} foreign publishes are left out: a hub takes none, Redis does.",
                err=True,
            )
        # Sorting keeps what has one time in the file's order.
        return sorted(found, key=lambda cue: cue.when)

    def _check_names(self, recorded: Collection[str]) -> None:
        plan = self._plan
        for channel in (*plan.channels, *plan.names):
            if channel not in recorded:
                known = ", ".join(sorted(recorded))
                raise PlayError(f"{plan.file}: expected {channel}, got {known}")

    async def _look(self, cues: Iterable[Cue]) -> dict[str, int]:
        """How far each channel of the recording was played; refuses what can't be played."""
        kinds: dict[str, Kind] = {}
        for cue in cues:
            kinds.setdefault(cue.channel, cue.kind)
        names: dict[str, str] = {}
        done = {}
        for channel, kind in kinds.items():
            name = self._name(channel)
            if is_commands(name):
                # A hub would send them, and agents obey.
                raise PlayError(
                    f"{channel} is not played to {name}: commands are given, not played. --map "
                    "plays it to a channel that agents do not listen to; --channel leaves it out."
                )
            if name in names:
                raise PlayError(f"expected one channel to be played to {name}, got two")
            names[name] = channel
            standing = await self._stage.look(name)
            if standing.kind not in (None, kind):
                raise PlayError(
                    f"{channel} was recorded as a {kind}, and {name} is a {standing.kind} there. "
                    "--map plays it to another channel; [streams.NAME] gives a new one its kind."
                )
            done[channel] = self._progress.of(name, standing.epoch)
        return done

    def _leave_out(
        self, file: BinaryIO, cues: list[Cue], done: Mapping[str, int]
    ) -> tuple[list[Act], list[Cue]]:
        """The states that the play begins with, and the cues that it goes on with."""
        begin = self._plan.begin or 0
        left: dict[str, LeftOut] = {}
        rest = []
        for cue in cues:
            # What was played stands in its channel, and perhaps more than was noted of it: a state
            # would take that back.
            if cue.n <= done[cue.channel]:
                continue
            if cue.when >= begin:
                rest.append(cue)
            elif cue.kind is not Kind.LOG and not cue.live and not done[cue.channel]:
                act = _read(file, cue)
                try:
                    if cue.channel in left:
                        left[cue.channel].add(act)
                    else:
                        left[cue.channel] = LeftOut(act)
                except PayloadError as error:
                    raise PlayError(f"{cue.channel}: {error.message}") from None
        return [state.act() for state in left.values()], rest

    def _first(self, cues: list[Cue], *, anew: bool) -> int:
        """The time that the play begins at: --from, or the first change that is left."""
        if self._plan.begin is not None and anew:
            return self._plan.begin
        # A state may be of long before.
        return next((cue.when for cue in cues if not cue.whole), 0)

    async def _play(self, file: BinaryIO, cues: list[Cue], first: int) -> None:
        now = asyncio.get_running_loop().time
        began_at = now()
        at = 0
        while at < len(cues):
            due = began_at + max(0, cues[at].when - first) / 1e6 / self._plan.speed
            if (wait := due - now()) > 0:
                await asyncio.sleep(wait)
            elapsed = (now() - began_at) * self._plan.speed
            upto = math.inf if math.isinf(self._plan.speed) else first + elapsed * 1e6
            batch = [cues[at]]
            while len(batch) < BATCH and at + len(batch) < len(cues):
                if cues[at + len(batch)].when > upto:
                    break
                batch.append(cues[at + len(batch)])
            await self._publish([self._cast(_read(file, cue)) for cue in batch])
            at += len(batch)

    async def _publish(self, casts: list[Cast]) -> None:
        # Once it is under way it is waited for, so that what was published is noted.
        publishing = asyncio.ensure_future(self._publish_and_note(casts))
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            await publishing
            raise

    async def _publish_and_note(self, casts: list[Cast]) -> None:
        epochs = await self._stage.publish(casts)
        played = {}
        for name, act in casts:
            if name in epochs:
                played[name] = Played(act.cue.n, epochs[name])
        self._progress.note(played)
        self._published += len(casts)
        if casts:
            self._at = casts[-1][1].cue.when

    def _cast(self, act: Act) -> Cast:
        return self._name(act.cue.channel), act

    def _name(self, channel: str) -> str:
        return self._plan.names.get(channel, channel)


def _cues_of(file: BinaryIO, path: Path, cues: Cues) -> Iterator[Cue]:
    offset = end = 0

    def lines() -> Iterator[bytes]:
        nonlocal offset, end
        for line in file:
            offset, end = end, end + len(line)
            yield line

    try:
        for row in read_rows(lines()):
            yield from cues.take(row, offset)
    except RecordingError as error:
        raise RecordingError(f"{path}: {error}") from None


def _read(file: BinaryIO, cue: Cue) -> Act:
    file.seek(cue.offset)
    return act_of(cue, decode_row(file.readline()))
