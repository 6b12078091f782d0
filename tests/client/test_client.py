"""The client on real sockets, against a hub that does what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest

from hub.client import (
    Client,
    ClientError,
    Closed,
    Frame,
    Link,
    LinkState,
    Published,
    Recovered,
    Refused,
    Reset,
    Snapshot,
    Subscription,
    Unauthorized,
    Update,
)
from hub.client.client import TokenSource
from hub.protocol import codes, frames
from hub.protocol.agent_commands import CommandReceipt
from hub.protocol.errors import ChannelNameError, PayloadError
from hub.protocol.position import Position
from hub.protocol.streams import Kind
from tests.support.fakehub import DEADLINE_SECONDS, FakeHub, Tape

AT = Position("e1", 3, "ab")
TOKEN = "token"


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    """A hub with a manual."""
    async with FakeHub() as hub:
        yield hub


async def take(subscription: Subscription, count: int) -> list[Frame]:
    """The next frames of a subscription."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [await anext(subscription) for _ in range(count)]


def quick(hub: FakeHub, token: str | TokenSource | None = TOKEN, **options: Any) -> Client:
    """A client that does not wait between attempts."""
    return Client(hub.url, token, random=lambda: 0.0, **options)


async def test_frames_arrive_in_order(hub: FakeHub) -> None:
    """A subscription yields the snapshot, then each update, decoded on demand."""
    tape = Tape("decisions")
    async with quick(hub) as client:
        decisions = client.subscribe("decisions")
        connection = await hub.welcome()
        assert connection.authorization == "Bearer token"
        params = await connection.expect_subscribe("decisions", tape.position)
        assert params == {"channel": "decisions"}
        await connection.send(tape.snapshot({"entries": []}), tape.write({"id": "d1"}))
        snapshot, update = await take(decisions, 2)
        assert isinstance(snapshot, Snapshot)
        assert isinstance(update, Update)
        assert update.data == {"id": "d1"}
        assert decisions.position == tape.position
        assert decisions.kind is Kind.LOG
        assert decisions.channel == "decisions"


async def test_one_connection_carries_every_subscription(hub: FakeHub) -> None:
    """Two channels share a connection, and each hears its own."""
    first, second = Tape("a"), Tape("b")
    async with quick(hub) as client:
        a, b = client.subscribe("a"), client.subscribe("b", interval_ms=100)
        connection = await hub.welcome()
        await connection.expect_subscribe("a", first.position)
        assert (await connection.expect_subscribe("b", second.position))["interval_ms"] == 100
        await connection.send(second.snapshot("B"), first.snapshot("A"))
        assert [frame.data for frame in await take(a, 1) if isinstance(frame, Snapshot)] == ["A"]
        assert [frame.data for frame in await take(b, 1) if isinstance(frame, Snapshot)] == ["B"]
    assert hub.attempts == 1


async def test_a_broken_link_is_resumed(hub: FakeHub) -> None:
    """After a break the subscription goes on where it was; what was missed follows."""
    tape = Tape("a")
    async with quick(hub) as client:
        a = client.subscribe("a")
        connection = await hub.welcome()
        await connection.expect_subscribe("a", tape.position)
        await connection.send(tape.snapshot(None), tape.write(1))
        await take(a, 2)
        since = tape.position
        connection.abort()
        connection = await hub.welcome()
        missed = tape.write(2)
        params = await connection.expect_subscribe("a", tape.position, recovered=True)
        assert params["since"] == {"epoch": "e1", "seq": 1, "tag": since.tag}
        await connection.send(missed)
        recovered, update = await take(a, 2)
        assert recovered == Recovered(channel="a", since=since)
        assert isinstance(update, Update)
        assert update.data == 2


async def test_what_cannot_be_resumed_is_announced(hub: FakeHub) -> None:
    """Where the hub can't prove what was missed, a Reset precedes the snapshot."""
    tape = Tape("a")
    async with quick(hub) as client:
        a = client.subscribe("a", since=AT)
        connection = await hub.welcome()
        await connection.expect_subscribe("a", tape.position)
        await connection.send(tape.snapshot(None))
        reset, snapshot = await take(a, 2)
        assert isinstance(reset, Reset)
        assert reset.last == AT
        assert isinstance(snapshot, Snapshot)


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4500, 4503, 4508, 4599])
async def test_passing_closes_are_followed_by_a_reconnect(hub: FakeHub, code: int) -> None:
    """Each code that the table marks so makes the client come back."""
    async with quick(hub) as client:
        await (await hub.welcome()).close(code)
        connection = await hub.welcome()
        ping = asyncio.create_task(client.ping())
        heard = await connection.expect("ping")
        await connection.send(frames.result(heard.id, {}))
        assert await ping >= 0


@pytest.mark.parametrize("code", [1000, 1002, 1003, 1009, 4400, 4401, 4403, 4408, 4429, 4499])
async def test_final_closes_end_the_client(hub: FakeHub, code: int) -> None:
    """Each other code ends subscriptions, requests and whatever is asked for later."""
    async with quick(hub) as client:
        a = client.subscribe("a")
        ping = asyncio.create_task(client.ping())
        connection = await hub.welcome()
        await connection.expect("subscribe")
        await connection.close(code, "enough")
        with pytest.raises(Refused) as refusal:
            await take(a, 1)
        assert refusal.value.code == code
        assert refusal.value.message == "enough"
        with pytest.raises(Refused):
            await take(a, 1)
        with pytest.raises(Refused):
            await ping
        with pytest.raises(Refused):
            client.subscribe("b")
        with pytest.raises(Refused):
            await client.publish("b", "set", 1)
    assert hub.attempts == 1


async def test_a_refused_handshake_has_the_code_of_its_status(hub: FakeHub) -> None:
    """A 401 before the socket opens is the same refusal as a close with 4401."""
    hub.refuse(HTTPStatus.UNAUTHORIZED)
    async with quick(hub) as client:
        with pytest.raises(Unauthorized, match="HTTP status 401"):
            await take(client.subscribe("a"), 1)


async def test_a_hub_that_is_not_ready_is_tried_again(hub: FakeHub) -> None:
    """A 503 of a proxy, and a hub that is away, are no reason to give up."""
    hub.refuse(HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY)
    async with quick(hub):
        await hub.welcome()
    assert hub.attempts == 3


async def test_a_failed_hub_is_followed_by_the_next(hub: FakeHub) -> None:
    """With several URLs, a hub that does not answer costs one attempt."""
    async with FakeHub() as gone:
        dead = gone.url
    links: list[Link] = []
    async with Client([dead, hub.url], "t", random=lambda: 0.0, on_link=links.append) as client:
        connection = await hub.welcome()
        ping = asyncio.create_task(client.ping())
        await connection.send(frames.result((await connection.expect("ping")).id, {}))
        await ping
    assert [link.state for link in links] == [
        LinkState.CONNECTING,
        LinkState.WAITING,
        LinkState.CONNECTING,
        LinkState.OPEN,
    ]
    assert links[1].code == codes.ABNORMAL.number
    assert links[1].retry_seconds == 0.0


async def test_a_final_refusal_is_told_as_a_link(hub: FakeHub) -> None:
    """Who watches the link hears why it ended for good."""
    links: list[Link] = []
    async with quick(hub, on_link=links.append) as client:
        await (await hub.welcome()).close(codes.FORBIDDEN, "no")
        with pytest.raises(Refused):
            await client.ping()
    assert links[-1].state is LinkState.ENDED
    assert (links[-1].code, links[-1].reason) == (4403, "no")


async def test_a_silent_hub_is_given_up(hub: FakeHub) -> None:
    """A socket on which nothing comes for three heartbeats is closed and opened anew."""
    async with quick(hub):
        await hub.welcome(heartbeat_ms=20)
        await hub.accept()


async def test_a_hub_without_a_welcome_is_given_up(hub: FakeHub) -> None:
    """A hub that takes the socket and says nothing is left after the opening deadline."""
    async with quick(hub, open_seconds=0.2):
        await hub.accept()
        await hub.accept()


async def test_a_hub_that_talks_nonsense_is_given_up(hub: FakeHub) -> None:
    """A frame that no hub sends ends the connection, not the client."""
    links: list[Link] = []
    async with quick(hub, on_link=links.append):
        connection = await hub.welcome()
        await connection.send(b"[]")
        await hub.accept()
    assert any("expected a frame of the hub" in link.reason for link in links)


async def test_another_service_is_no_hub() -> None:
    """A WebSocket server that does not speak the sub-protocol is refused, not tried forever."""
    async with FakeHub(subprotocol=None) as other, quick(other) as client:
        with pytest.raises(Refused, match=r"expected a hub of tapecast\.v1"):
            await client.ping()


async def test_a_frame_larger_than_the_bound_ends_the_client(hub: FakeHub) -> None:
    """A frame above the client's bound would be as large again, so it is not asked for again."""
    async with quick(hub, max_frame_bytes=1_000) as client:
        connection = await hub.welcome()
        await connection.send(b" " * 2_000)
        with pytest.raises(Refused) as refusal:
            await client.ping()
    assert refusal.value.code == codes.TOO_BIG.number


async def test_a_token_source_is_asked_for_each_connection(hub: FakeHub) -> None:
    """Where the token ended, the source gives another, and the subscription resumes."""
    tokens = iter(["first", "second"])

    async def source() -> str:
        return next(tokens)

    async with quick(hub, source):
        connection = await hub.welcome()
        assert connection.authorization == "Bearer first"
        await connection.close(codes.UNAUTHORIZED, "the token is at its end")
        connection = await hub.welcome()
        assert connection.authorization == "Bearer second"


async def test_a_token_source_whose_tokens_are_refused_ends_the_client(hub: FakeHub) -> None:
    """Two refusals in a row are final; a welcome in between is none, it comes before the check."""
    asked = 0

    async def source() -> str:
        nonlocal asked
        asked += 1
        return "bad"

    hub.refuse(HTTPStatus.UNAUTHORIZED)
    async with quick(hub, source) as client:
        await (await hub.welcome()).close(codes.UNAUTHORIZED, "bad")
        with pytest.raises(Unauthorized, match="bad"):
            await client.ping()
    assert asked == 2


async def test_a_token_that_served_for_a_while_may_end_again(hub: FakeHub) -> None:
    """A connection that served clears the record: each token of a source may come to its end."""

    async def source() -> str:
        return "short-lived"

    async with quick(hub, source):
        for _ in range(3):
            connection = await hub.welcome()
            await connection.send(frames.heartbeat(1, {}))
            await connection.close(codes.UNAUTHORIZED, "the token is at its end")
        await hub.accept()


async def test_a_token_source_that_cannot_be_reached_is_tried_again(hub: FakeHub) -> None:
    """An OSError of the source is like a hub that is away."""
    failures = iter([ConnectionRefusedError("issuer away")])

    async def source() -> str:
        for failure in failures:
            raise failure
        return "good"

    async with quick(hub, source):
        assert (await hub.accept()).authorization == "Bearer good"


async def test_a_token_source_that_fails_ends_the_client(hub: FakeHub) -> None:
    """Any other error of the source is shown to whoever waits, with its cause."""

    async def source() -> str:
        raise KeyError("issuer")

    async with quick(hub, source) as client:
        with pytest.raises(ClientError, match="KeyError") as failure:
            await take(client.subscribe("a"), 1)
    assert isinstance(failure.value.__cause__, KeyError)


async def test_a_client_without_a_token_sends_none(hub: FakeHub) -> None:
    """Where there is no token, no header is sent."""
    async with quick(hub, None):
        assert (await hub.accept()).authorization is None


async def test_a_publish_is_answered_with_its_position(hub: FakeHub) -> None:
    """A publish carries money as strings, and returns where it stands."""
    async with quick(hub) as client:
        connection = await hub.welcome()
        publish = asyncio.create_task(
            client.publish("portfolio", "set", {"balance": Decimal("1.50")}, key="k")
        )
        heard = await connection.expect("publish")
        assert heard.params["data"] == {"balance": "1.50"}
        assert heard.params["key"] == "k"
        await connection.send(frames.published(heard.id, "portfolio", AT, unchanged=True))
        assert await publish == Published(AT, unchanged=True)


async def test_a_command_is_answered_with_its_id(hub: FakeHub) -> None:
    """A publish to an agent's channel may say when it expires, and is told which command it is."""
    receipt = CommandReceipt("c1", AT, 1)
    async with quick(hub) as client:
        connection = await hub.welcome()
        publish = asyncio.create_task(
            client.publish("commands", "agent.pause", None, expires_in_ms=500)
        )
        heard = await connection.expect("publish")
        assert heard.params["expires_in_ms"] == 500
        await connection.send(frames.commanded(heard.id, "commands", receipt))
        assert await publish == Published(AT, unchanged=False, command="c1")


@pytest.mark.parametrize(
    "data", [float("nan"), {"price": float("inf")}, [{"prices": (1.5, float("-inf"))}]]
)
async def test_a_number_that_is_none_is_refused(hub: FakeHub, data: object) -> None:
    """NaN and infinity are not published as null, as they once were."""
    async with Client(hub.url) as client:
        with pytest.raises(PayloadError, match="expected a finite number"):
            await client.publish("portfolio", "set", data)


async def test_a_retried_publish_keeps_its_id(hub: FakeHub) -> None:
    """A publish whose answer was lost with the link is sent again under the same id."""
    async with quick(hub) as client:
        connection = await hub.welcome()
        publish = asyncio.create_task(client.publish("a", "set", 1))
        first = await connection.expect("publish")
        connection.abort()
        connection = await hub.welcome()
        second = await connection.expect("publish")
        assert second.params == first.params
        assert second.params["n"] == 1
        await connection.send(frames.error(second.id, codes.UNAVAILABLE, "not now"))
        third = await connection.expect("publish")
        assert third.params == first.params
        await connection.send(frames.published(third.id, "a", AT, unchanged=False))
        assert (await publish).position == AT


async def test_publishes_under_way_are_bounded(hub: FakeHub) -> None:
    """At most so many publishes wait for their answers; the oldest holds up those far ahead."""
    async with quick(hub) as client:
        connection = await hub.welcome()
        publishes = [asyncio.create_task(client.publish("a", "set", n)) for n in range(40)]
        heard = [await connection.expect("publish") for _ in range(32)]
        for each in heard[1:]:
            await connection.send(frames.published(each.id, "a", AT, unchanged=False))
        ping = asyncio.create_task(client.ping())
        beat = await connection.expect("ping")
        await connection.send(frames.result(beat.id, {}))
        await ping
        await connection.send(frames.published(heard[0].id, "a", AT, unchanged=False))
        for _ in range(8):
            each = await connection.expect("publish")
            await connection.send(frames.published(each.id, "a", AT, unchanged=False))
        await asyncio.gather(*publishes)


async def test_a_cancelled_publish_is_not_sent_again(hub: FakeHub) -> None:
    """Nobody waits for a cancelled publish, so no later connection hears of it."""
    async with quick(hub) as client:
        connection = await hub.welcome()
        publish = asyncio.create_task(client.publish("a", "set", 1))
        await connection.expect("publish")
        publish.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publish
        connection.abort()
        connection = await hub.welcome()
        ping = asyncio.create_task(client.ping())
        await connection.send(frames.result((await connection.expect("ping")).id, {}))
        await ping


async def test_a_slow_consumer_delays_nobody_and_loses_nothing(hub: FakeHub) -> None:
    """A full queue makes its subscription rest; once drained it resumes from its position."""
    slow, fast = Tape("slow"), Tape("fast")
    async with quick(hub, queue_frames=3) as client:
        a, b = client.subscribe("slow"), client.subscribe("fast")
        connection = await hub.welcome()
        await connection.expect_subscribe("slow", slow.position)
        await connection.expect_subscribe("fast", fast.position)
        written = [slow.write(n) for n in range(1, 5)]
        at = Position("e1", 0, "")
        await connection.send(frames.snapshot("slow", at, 1, b'{"entries":[]}'), *written)
        await connection.send(fast.snapshot({"entries": []}), fast.write("now"))
        heard = await take(b, 2)
        assert isinstance(heard[1], Update)
        assert (await connection.expect("unsubscribe")).params == {"channel": "slow"}
        consumed = await take(a, 3)
        more = asyncio.create_task(take(a, 3))
        params = await connection.expect_subscribe("slow", slow.position, recovered=True)
        assert params["since"]["seq"] == 2
        await connection.send(*written[2:])
        consumed += await more
        data = [frame.data for frame in consumed if isinstance(frame, Update)]
        assert data == [1, 2, 3, 4]


async def test_a_queue_is_bounded_in_bytes(hub: FakeHub) -> None:
    """Few large frames fill a queue as many small ones do."""
    tape = Tape("a")
    async with quick(hub, queue_bytes=1_000) as client:
        client.subscribe("a")
        connection = await hub.welcome()
        await connection.expect_subscribe("a", tape.position)
        await connection.send(tape.snapshot("x" * 2_000))
        await connection.expect("unsubscribe")


async def test_a_closed_subscription_ends_after_what_waits(hub: FakeHub) -> None:
    """Closing tells the hub; what was queued is still yielded, then the iteration ends."""
    tape = Tape("a")
    async with quick(hub) as client:
        async with client.subscribe("a") as a:
            connection = await hub.welcome()
            await connection.expect_subscribe("a", tape.position)
            await connection.send(tape.snapshot(1), tape.write(2), tape.write(3))
            ping = asyncio.create_task(client.ping())
            await connection.send(frames.result((await connection.expect("ping")).id, {}))
            await ping
            await take(a, 2)
        await connection.expect("unsubscribe")
        rest = [frame async for frame in a]
        assert [frame.data for frame in rest if isinstance(frame, Update)] == [3]
        client.subscribe("a")
        await connection.expect("subscribe")


async def test_closing_the_client_ends_what_waits(hub: FakeHub) -> None:
    """Iterations end, requests raise Closed, and the hub gets a normal close."""
    client = quick(hub)
    async with client:
        a = client.subscribe("a")
        iteration = asyncio.create_task(anext(a, None))
        ping = asyncio.create_task(client.ping())
        connection = await hub.welcome()
        await connection.expect("subscribe")
    assert await iteration is None
    with pytest.raises(Closed):
        await ping
    assert await connection.closed() == codes.NORMAL.number
    with pytest.raises(Closed):
        client.subscribe("b")


async def test_closing_cancels_a_repeat_that_is_due(hub: FakeHub) -> None:
    """A request that waits for its repeat raises Closed when the client is closed."""
    async with Client(hub.url, "t", min_delay_seconds=9.0, random=lambda: 1.0) as client:
        ping = asyncio.create_task(client.ping())
        connection = await hub.welcome()
        heard = await connection.expect("ping")
        await connection.send(frames.error(heard.id, codes.UNAVAILABLE, "not now"))
        other = asyncio.create_task(client.publish("a", "set", 1))
        await connection.expect("publish")
    for task in (ping, other):
        with pytest.raises(Closed):
            await task


async def test_a_client_must_be_opened(hub: FakeHub) -> None:
    """Before `async with` there is no connection to subscribe on."""
    with pytest.raises(Closed, match="not opened"):
        quick(hub).subscribe("a")


async def test_wrong_use_is_told_at_once(hub: FakeHub) -> None:
    """A bad name, a second subscription, and no URL at all raise before anything is sent."""
    with pytest.raises(ValueError, match="at least one hub"):
        Client([])
    async with quick(hub) as client:
        with pytest.raises(ChannelNameError):
            client.subscribe("Not A Channel")
        with pytest.raises(ChannelNameError):
            await client.publish("a", "no event!", 1)
        client.subscribe("a")
        with pytest.raises(ValueError, match="one subscription a channel"):
            client.subscribe("a")
        with pytest.raises(Refused):
            await client.publish("a", "set", "x" * 70_000)
