"""A client as docs/protocol.md says how to write one, in plain lists and dicts.

Stricter than a client need be: whatever the hub's guarantees exclude fails an assertion.
"""

from __future__ import annotations

import json
from typing import Any

from hub.protocol.position import Position
from hub.protocol.streams import Kind


class Place:
    """A client's place in one channel.

    state: the value, the rows by key, or the log as (seq, event, data) without a hole.
    asked: the id of a subscribe that was not answered, from `since`.
    must_recover, may_recover: what is asserted of its answer. answered: the seq that the answer to
    the last subscribe led to.
    """

    def __init__(self) -> None:
        self.position: Position | None = None
        self.state: Any = None
        self.kind = Kind.LOG
        self.following = False
        self.asked: int | None = None
        self.since: Position | None = None
        self.answered = 0
        self.must_recover = self.may_recover = False
        self.recovered: bool | None = None
        self.interval_ms = 0
        self.updated_at: float | None = None
        self.stale = False


class ModelClient:
    """Folds the frames of one connection after the other, and remembers its places."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.heads: dict[str, int] = {}
        self.errors: list[dict[str, Any]] = []
        self._ids = 0
        self._left: dict[int, str] = {}

    # What it says

    def subscribe(self, channel: str, *, resume: bool, interval_ms: int = 0) -> str:
        """The text of a subscribe, from the client's position where it has one and wants to."""
        place = self.places.setdefault(channel, Place())
        place.asked = self._next_id()
        place.since = place.position if resume else None
        place.following = False
        place.interval_ms = interval_ms
        place.updated_at = None
        params: dict[str, Any] = {"channel": channel, "interval_ms": interval_ms}
        if place.since is not None:
            at = place.since
            params["since"] = {"epoch": at.epoch, "seq": at.seq, "tag": at.tag}
        return json.dumps({"id": place.asked, "method": "subscribe", "params": params})

    def unsubscribe(self, channel: str) -> str:
        """The text of an unsubscribe."""
        id = self._next_id()
        self._left[id] = channel
        return json.dumps({"id": id, "method": "unsubscribe", "params": {"channel": channel}})

    def disconnected(self) -> None:
        """The connection is over; the places stay, to resume from."""
        self._left.clear()
        self.heads.clear()
        for place in self.places.values():
            place.following = False
            place.asked = None

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    # What it hears

    def receive(self, payload: bytes, at: float) -> None:
        """Take one frame that was written at this time."""
        frame = json.loads(payload)
        if "id" in frame:
            self._reply(frame)
        elif frame["type"] == "heartbeat":
            self._heartbeat(frame["heads"])
        elif "channel" in frame:
            place = self.places.get(frame["channel"])
            assert place is not None, f"not subscribed to: {frame}"
            if place.asked is None:
                self._of_channel(place, frame, at)

    def _reply(self, frame: dict[str, Any]) -> None:
        id = frame["id"]
        if "error" in frame:
            self.errors.append(frame)
        elif (left := self._left.pop(id, None)) is not None:
            place = self.places.get(left)
            if place is not None and (place.asked is None or place.asked < id):
                del self.places[left]
        elif (channel := frame["result"].get("channel")) in self.places:
            place = self.places[channel]
            if place.asked == id:
                self._subscribed(place, frame["result"])

    def _subscribed(self, place: Place, result: dict[str, Any]) -> None:
        place.asked = None
        place.kind = Kind(result["kind"])
        place.recovered = result["recovered"]
        place.stale = result["stale"]
        place.answered = result["seq"]
        assert place.must_recover <= place.recovered <= place.may_recover
        if place.recovered:
            assert place.since is not None, "recovered without a since"
            place.position, place.following = place.since, True
        else:
            place.position = None

    def _heartbeat(self, heads: dict[str, int]) -> None:
        for channel, head in heads.items():
            place = self.places.get(channel)
            if place is not None and place.following:
                assert place.position is not None
                assert place.position.seq == head, f"{channel}: at {place.position}, head {head}"

    def _of_channel(self, place: Place, frame: dict[str, Any], at: float) -> None:
        match frame:
            case {"type": "snapshot"}:
                self._snapshot(place, frame)
            case {"type": "update", "seq": _}:
                self._update(place, frame, at)
            case {"type": "channel", "state": "reset"}:
                place.position, place.following, place.updated_at = None, False, None
                place.answered = 0
            case {"type": "channel", "state": state}:
                place.stale = state == "stale"

    def _snapshot(self, place: Place, frame: dict[str, Any]) -> None:
        position = Position(frame["epoch"], frame["seq"], frame["tag"])
        if place.following:
            assert place.position is not None
            assert place.kind is not Kind.LOG, f"a log was conflated: {frame}"
            assert place.position.epoch == position.epoch, f"unannounced: {frame}"
            assert place.position.seq < position.seq, f"{place.position} before {frame}"
        place.position, place.following = position, True
        match frame["data"]:
            case {"entries": entries} if place.kind is Kind.LOG:
                place.state = [(each["seq"], each["event"], each["data"]) for each in entries]
                first = position.seq - len(entries) + 1
                assert [each[0] for each in place.state] == list(range(first, position.seq + 1))
            case {"rows": rows} if place.kind is Kind.TABLE:
                place.state = rows
            case value:
                place.state = value

    def _update(self, place: Place, frame: dict[str, Any], at: float) -> None:
        assert place.following, f"before its snapshot: {frame}"
        assert place.position is not None
        prev = frame.get("prev", frame["seq"] - 1)
        assert prev == place.position.seq, f"a hole or a duplicate at {place.position}: {frame}"
        assert place.position.epoch in (frame["epoch"], ""), f"unannounced: {frame}"
        assert frame.get("skipped", 0) == frame["seq"] - prev - 1
        is_answer = frame["seq"] <= place.answered
        if place.interval_ms and place.kind is not Kind.LOG and not is_answer:
            # Half a millisecond for the rounding of times.
            earliest = place.interval_ms / 1000 - 0.0005
            assert place.updated_at is None or at - place.updated_at >= earliest
            place.updated_at = at
        place.position = Position(frame["epoch"], frame["seq"], frame["tag"])
        data = frame["data"]
        if place.kind is Kind.VALUE:
            place.state = data
        elif place.kind is Kind.TABLE:
            place.state.update(data["upsert"])
            for key in data["delete"]:
                place.state.pop(key, None)
        else:
            assert "prev" not in frame, f"a log was conflated: {frame}"
            place.state.append((frame["seq"], frame["event"], data))
