"""The four figures that are held against the budget. Each is a slope: what was there before the
first delivery, connection, envelope or publish is in none of them.

delivery: one envelope to one more client, of many that one system call serves.
delivery_one_by_one: the same where the kernel has no such call.
delivery_by_transport: the same where there is something between transport and socket, as with TLS.
connection: handshake, a token of its own, subscribe and snapshot; its bytes are those that the hub
    holds for it afterwards.
envelope: from the broker's hand-over to its only client, alone; its bytes are those of its place in
    the ring.
publish: through `Publisher` to a Valkey and back, in rounds, from a task of its own.

Besides, by kind of publish, how often the publish script calls Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import uvloop
from redis import Redis

from benchmarks import redis_side
from producers.publisher import Publisher
from producers.sender import ROUND_PUBLISHES
from tests.budget.counting import Counts, Memory, count, weigh
from tests.budget.rig import TURNS, Rig, Sink, Transport
from tests.support.valkey import Valkey

CLIENTS = 200
ENVELOPES = 50
WARM_UP = 20
PUBLISHES = 200


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one costs. allocated_bytes: see above; None where nothing tells."""

    python_calls: float
    c_calls: float
    allocated_bytes: float | None = None


def script_calls() -> dict[str, float]:
    """How often the script calls Redis for one publish, by kind of publish."""
    with Valkey() as valkey, Redis.from_url(valkey.url) as client:
        return {
            name: round(redis_side.measure_script(client, name, PUBLISHES).calls, 1)
            for name in redis_side.PUBLISHES
        }


def measure() -> dict[str, Figure]:
    """All figures, by name."""
    return {
        "delivery": delivery(),
        "delivery_one_by_one": delivery(batched=False),
        "delivery_by_transport": delivery(by_socket=False),
        "connection": connection(),
        "envelope": envelope(),
        "publish": publish(),
    }


def delivery(*, by_socket: bool = True, batched: bool = True) -> Figure:
    """Bytes: the most that a delivery has allocated while its envelope is fanned out."""
    few, many = (_fan_out(clients, by_socket, batched) for clients in (CLIENTS, 2 * CLIENTS))
    peak = (many[1].peak - few[1].peak) / CLIENTS
    return _figure(many[0].per(few[0], ENVELOPES * CLIENTS), peak)


def _fan_out(clients: int, by_socket: bool, batched: bool) -> tuple[Counts, Memory]:
    with Sink() as socket, Rig(batched=batched) as rig:
        rig.connect(rig.requests(clients), Transport(socket if by_socket else None))
        rig.publish(rig.envelopes(WARM_UP))
        envelopes, one = rig.envelopes(ENVELOPES), rig.envelopes(1)
        return count(lambda: rig.publish(envelopes)), weigh(lambda: rig.publish(one))


def connection() -> Figure:
    """Bytes: what a client that is connected holds."""
    with Sink() as socket, Rig() as rig:
        transport = Transport(socket)

        def connect(number: int) -> Callable[[], None]:
            requests = rig.requests(number)
            return lambda: rig.connect(requests, transport)

        connect(WARM_UP)()
        few, many = count(connect(CLIENTS)), count(connect(2 * CLIENTS))
        light, heavy = weigh(connect(CLIENTS)), weigh(connect(2 * CLIENTS))
    return _figure(many.per(few, CLIENTS), (heavy.held - light.held) / CLIENTS)


def envelope() -> Figure:
    """Bytes: what an envelope holds while it can be resumed from."""
    with Rig() as rig:
        rig.publish(rig.envelopes(WARM_UP))
        few, many = rig.envelopes(ENVELOPES), rig.envelopes(2 * ENVELOPES)
        once, twice = count(lambda: rig.publish(few)), count(lambda: rig.publish(many))
        waiting = _per_turn(rig)
        light, heavy = rig.envelopes(ENVELOPES), rig.envelopes(2 * ENVELOPES)
        lighter = weigh(lambda: rig.publish(light))
        heavier = weigh(lambda: rig.publish(heavy))
    slope = twice.per(once, ENVELOPES)
    return _figure(
        Counts(
            slope.python_calls - TURNS * waiting.python_calls,
            slope.c_calls - TURNS * waiting.c_calls,
        ),
        (heavier.held - lighter.held) / ENVELOPES,
    )


def _per_turn(rig: Rig) -> Counts:
    turns = TURNS * ENVELOPES
    return count(lambda: rig.wait(2 * turns)).per(count(lambda: rig.wait(turns)), turns)


def publish() -> Figure:
    """Bytes are not looked at: what waits is bounded by the buffer."""
    loop = uvloop.new_event_loop()
    with Valkey() as valkey:
        publisher = Publisher(valkey.url)

        def entries(count: int) -> Callable[[], object]:
            return lambda: loop.run_until_complete(_publish(publisher, count))

        loop.run_until_complete(publisher.__aenter__())
        try:
            entries(ROUND_PUBLISHES)()
            # Bytes come from the socket in pieces of any size; the fewest calls count.
            few = min((count(entries(ROUND_PUBLISHES)) for _ in range(5)), key=_calls)
            many = min((count(entries(2 * ROUND_PUBLISHES)) for _ in range(5)), key=_calls)
        finally:
            loop.run_until_complete(publisher.__aexit__(None, None, None))
            loop.close()
    return _figure(many.per(few, ROUND_PUBLISHES), None)


async def _publish(publisher: Publisher, count: int) -> None:
    entry = {"id": "d-1", "asset_pair": "BTCUSD", "action": "BUY", "confidence": 72}
    await asyncio.gather(
        *(publisher.publish("decisions", "decision_made", entry) for _ in range(count))
    )


def _calls(counts: Counts) -> float:
    return counts.python_calls + counts.c_calls


def _figure(counts: Counts, allocated_bytes: float | None) -> Figure:
    return Figure(
        round(counts.python_calls, 1),
        round(counts.c_calls, 1),
        None if allocated_bytes is None else round(allocated_bytes),
    )
