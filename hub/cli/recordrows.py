"""Frames of a subscription as rows of a recording."""

from __future__ import annotations

from hub.client import Frame, Recovered, Reset, Snapshot, StateChanged, Update, recording
from hub.protocol.position import Position
from hub.protocol.streams import Kind


def row_of(frame: Frame, kind: Kind | None, at: int) -> recording.Row:
    """The row of a frame that came at `at`, on a channel of `kind`."""
    match frame:
        case Snapshot():
            assert kind is not None, "the hub says it before the first snapshot"
            return recording.Snapshot(
                at=at,
                channel=frame.channel,
                kind=kind,
                epoch=frame.position.epoch,
                seq=frame.position.seq,
                tag=frame.position.tag,
                ts=frame.ts,
                data=recording.data_of(frame.text),
            )
        case Update():
            return _update(frame, at)
        case Reset():
            return recording.Reset(at=at, channel=frame.channel, cause=frame.cause, last=frame.last)
        case Recovered():
            assert kind is not None, "the hub says it in its reply"
            return recording.resumed(frame.channel, kind, frame.since, at)
        case StateChanged():
            return recording.Turned(
                at=at, channel=frame.channel, state=frame.state, since=frame.since
            )


def _update(frame: Update, at: int) -> recording.Update:
    place = frame.position or Position("", 0, "")
    follows = frame.position is None or frame.prev == place.seq - 1
    return recording.Update(
        at=at,
        channel=frame.channel,
        event=frame.event,
        ts=frame.ts,
        epoch=place.epoch,
        seq=None if frame.position is None else place.seq,
        tag=place.tag,
        prev=None if follows else frame.prev,
        skipped=frame.skipped,
        data=recording.data_of(frame.text),
    )
