from __future__ import annotations

import asyncio

import pytest

from hub.broker.base import Link
from hub.broker.handover import HandOver, Route


async def test_messages_leave_in_the_order_they_came() -> None:
    """Of all routes together, RESTORED among them."""
    hand_over = HandOver(1000)
    left, right = Route("left", hand_over.put), Route("right", hand_over.put)
    left.take(left, b"1")
    right.take(right, Link.RESTORED)
    left.take(left, b"2")
    assert [await hand_over.take() for _ in range(3)] == [
        ("left", b"1"),
        ("right", Link.RESTORED),
        ("left", b"2"),
    ]


async def test_a_reader_is_woken_by_what_arrives() -> None:
    """It waits where nothing does, and several arrivals wake it once."""
    hand_over = HandOver(1000)
    route = Route("a", hand_over.put)
    reader = asyncio.create_task(hand_over.take())
    await asyncio.sleep(0)
    route.take(route, b"1")
    route.take(route, b"2")
    assert await reader == ("a", b"1")
    assert await hand_over.take() == ("a", b"2")


async def test_what_a_dropped_route_left_is_skipped() -> None:
    """Nothing of it comes out, and it counts no longer."""
    hand_over = HandOver(1000)
    gone, stays = Route("gone", hand_over.put), Route("stays", hand_over.put)
    gone.take(gone, b"1")
    stays.take(stays, b"2")
    gone.held = False
    assert await hand_over.take() == ("stays", b"2")
    assert hand_over.waiting_bytes == 0


async def test_it_is_full_at_its_bound_and_roomy_at_half_of_it() -> None:
    """Bytes count, and so does the number of messages, however short they are."""
    hand_over = HandOver(10_000)
    route = Route("a", hand_over.put)
    route.take(route, b"x" * 9_000)
    assert (hand_over.full, hand_over.roomy) == (False, False)
    for _ in range(10):
        route.take(route, b"")
    assert (hand_over.full, hand_over.roomy) == (True, False)
    await hand_over.take()
    assert (hand_over.full, hand_over.roomy) == (False, True)


async def test_it_has_one_reader() -> None:
    """A second one at the same time is a mistake."""
    hand_over = HandOver(1000)
    reader = asyncio.create_task(hand_over.take())
    await asyncio.sleep(0)
    with pytest.raises(AssertionError):
        await hand_over.take()
    reader.cancel()
