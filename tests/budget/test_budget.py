"""The guard on costs: counted in a process of its own, and shown to bite."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.core.feed import Feed
from hub.core.session import Session
from hub.protocol.envelope import Envelope
from hub.server.websocket import WebSocketProtocol
from producers.sender import Sender
from tests.budget import figures, ledger
from tests.budget.figures import Figure
from tests.budget.ledger import Budget
from tests.budget.rig import Transport
from tests.test_house import ROOT

BUDGET = Budget("3.11", {"delivery": Figure(2.0, 100.0, 1000)}, {"log": 9.0})


def test_costs_are_within_the_budget() -> None:
    """No delivery, connection, envelope or publish costs more than it did, or much less unnoticed.

    In a process of its own: what measures the coverage of tests allocates too.
    """
    environment = {name: value for name, value in os.environ.items() if "COV" not in name}
    counted = subprocess.run(
        [sys.executable, "-m", "tests.budget", "--json"],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=environment,
    )
    measured = msgspec.json.decode(counted.stdout, type=dict[str, Figure])
    budget = ledger.read()
    assert measured.keys() == budget.figures.keys()
    assert list(ledger.faults(measured, budget)) == []


def test_the_script_calls_redis_as_often_as_it_may() -> None:
    """For each kind of publish the script asks Redis exactly as often as the budget says."""
    assert figures.script_calls() == ledger.read().script_calls


class Through(Transport):
    """A transport behind one more function in Python."""

    __slots__ = ()

    def __init__(self, transport: Any) -> None:
        write = transport.write
        super().__init__(write=lambda frame: write(frame))


def one_call_more(owner: type, name: str) -> Callable[..., Any]:
    """The method `name` of `owner`, called by a function that does nothing else."""
    method = getattr(owner, name)

    def through(*args: Any) -> Any:
        return method(*args)

    return through


def faults_of(name: str, measure: Callable[[], Figure]) -> list[str]:
    """What the committed budget says of a figure as it is now, in calls."""
    figure = msgspec.structs.replace(measure(), allocated_bytes=None)
    return list(ledger.faults({name: figure}, ledger.read()))


def test_a_call_more_for_each_delivery_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One function in Python between the fan-out and the transport is over the budget."""
    made = WebSocketProtocol.connection_made

    def connection_made(self: WebSocketProtocol, transport: asyncio.BaseTransport) -> None:
        made(self, Through(transport))

    monkeypatch.setattr(WebSocketProtocol, "connection_made", connection_made)
    name = "delivery_by_transport"
    [fault] = faults_of(name, lambda: figures.delivery(by_socket=False))
    assert fault.startswith(f"{name}: expected 0 python_calls, got 1.")


@pytest.mark.parametrize(
    ("name", "measure", "owner", "method", "times"),
    [
        ("connection", figures.connection, Session, "receive", 20),
        ("envelope", figures.envelope, Feed, "receive", 3),
        ("envelope", figures.envelope, Envelope, "follows", 3),
        ("publish", figures.publish, Sender, "submit", 5),
    ],
)
def test_a_few_calls_more_are_noticed(
    name: str,
    measure: Callable[[], Figure],
    owner: type,
    method: str,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So many more functions in Python on the way are over the budget of a figure."""
    for _ in range(times):
        monkeypatch.setattr(owner, method, one_call_more(owner, method))
    [fault] = faults_of(name, measure)
    assert "python_calls" in fault


@pytest.mark.parametrize(
    ("figure", "python", "complaint"),
    [
        (Figure(2.0, 100.0, 1000), "3.11", ""),
        (Figure(2.0, 102.0, 1100), "3.11", ""),
        (Figure(2.0, 90.0, 900), "3.11", ""),
        (Figure(2.0, 103.0, 1000), "3.11", "expected 100 c_calls, got 103. Make it cheaper"),
        (Figure(3.0, 100.0, 1000), "3.11", "expected 2 python_calls, got 3. Make it cheaper"),
        (Figure(2.0, 100.0, 1200), "3.11", "expected 1000 allocated_bytes, got 1200. Make it"),
        (Figure(2.0, 89.0, 1000), "3.11", "expected 100 c_calls, got 89, which is better."),
        (Figure(2.0, 114.0, 1100), "3.13", ""),
        (Figure(2.0, 86.0, 900), "3.13", ""),
        (Figure(2.0, 116.0, 1000), "3.13", "expected 100 c_calls, got 116. Make it cheaper"),
    ],
)
def test_what_is_held_against_a_figure(figure: Figure, python: str, complaint: str) -> None:
    """More than the budget is complained of, and much less is; another Python is given room."""
    found = list(ledger.faults({"delivery": figure}, BUDGET, python))
    assert len(found) == bool(complaint)
    assert all(complaint in fault for fault in found)


def test_a_budget_is_read_as_it_was_written(tmp_path: Path) -> None:
    """`--write` leaves a file for people and for this test."""
    path = tmp_path / "budget.json"
    ledger.write(BUDGET.figures, BUDGET.script_calls, path)
    assert ledger.read(path) == msgspec.structs.replace(BUDGET, python=ledger.this_python())
