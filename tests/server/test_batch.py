"""Tests of hub.server.batch: many sockets written to by one system call."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from hub.server import batch
from hub.server.batch import SLOTS, BatchWriter, batch_writer, descriptor, word

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone has it")

PIECE = b"a piece of bytes"


@contextlib.contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """So many sockets, each with its other end; none of them blocks."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            pair = socket.socketpair()
            for end in pair:
                end.setblocking(False)
                stack.enter_context(end)
            made.append(pair)
        yield made


def words(made: list[tuple[socket.socket, socket.socket]]) -> list[int]:
    return [word(ours.fileno()) for ours, _ in made]


def received(theirs: socket.socket) -> bytes:
    """What has arrived and was not read yet."""
    with contextlib.suppress(BlockingIOError):
        return theirs.recv(1 << 20)
    return b""


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_socket_gets_the_piece_once(count: int) -> None:
    """And each of several pieces in their order."""
    with pairs(count) as made:
        writer = BatchWriter()
        assert writer.write(PIECE, words(made)) == []
        assert writer.write(b"another", words(made)) == []
        assert all(received(theirs) == PIECE + b"another" for _, theirs in made)


def test_more_sockets_than_one_call_takes() -> None:
    """They are written to by several calls; a word may stand in several places."""
    times = SLOTS // 100 + 1
    with pairs(100) as made:
        assert BatchWriter().write(b"x", words(made) * times) == []
        assert all(received(theirs) == b"x" * times for _, theirs in made)


def test_what_a_socket_did_not_take_is_told() -> None:
    """A full one took nothing or a part; its neighbours are not concerned."""
    large = b"x" * 300_000
    with pairs(3) as made:
        writer = BatchWriter()
        slow = made[1]
        sent = 0
        while not (short := writer.write(large, words(made))):
            sent += len(large)
            assert received(made[0][1])
            assert received(made[2][1])
            assert sent < 100 * len(large), "the kernel takes everything"
        taken = dict(short)[word(slow[0].fileno())]
        assert 0 <= taken < len(large)
        # The others' buffers are no larger: what they did not take is told as well.
        assert {descriptor(of) for of, _ in short} <= {ours.fileno() for ours, _ in made}
        arrived = 0
        while more := received(slow[1]):
            arrived += len(more)
        assert arrived == sent + taken


def test_a_broken_socket_is_told() -> None:
    """Its other end is gone: nothing was taken, no signal is raised, and the rest is written."""
    with pairs(4) as made:
        made[2][1].close()
        assert BatchWriter().write(PIECE, words(made)) == [(word(made[2][0].fileno()), 0)]
        assert [received(made[at][1]) for at in (0, 1, 3)] == [PIECE] * 3


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_number_that_is_no_descriptor_is_told(at: int) -> None:
    """Wherever it stands, all others are written to once."""
    with pairs(4) as made:
        closed, other = socket.socketpair()
        number = closed.fileno()
        closed.close()
        other.close()
        of_all = words(made)
        of_all.insert(at, word(number))
        assert BatchWriter().write(PIECE, of_all) == [(word(number), 0)]
        assert all(received(theirs) == PIECE for _, theirs in made)


def test_a_thread_has_a_writer_of_its_own() -> None:
    """Two event loops of one process never share the arrays."""
    found: list[BatchWriter | None] = []
    thread = threading.Thread(target=lambda: found.append(batch_writer()))
    thread.start()
    thread.join()
    assert found[0] is not None
    assert batch_writer() is not None
    assert batch_writer() is batch_writer()
    assert found[0] is not batch_writer()


class TakesNothing(BatchWriter):
    """As a kernel would be that answers and does not write."""

    def write(self, piece: bytes, words: object) -> list[tuple[int, int]]:
        return []


class Forbidden(BatchWriter):
    """As under a sandbox that forbids the calls."""

    def __init__(self) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("kind", [TakesNothing, Forbidden])
def test_nothing_is_relied_on_that_was_not_seen_to_work(
    kind: type[BatchWriter], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Then sockets are written to one by one, and the log says why, once."""
    monkeypatch.setattr(batch, "BatchWriter", kind)
    monkeypatch.setattr(batch, "_of_thread", threading.local())
    with caplog.at_level(logging.INFO, batch.__name__):
        assert batch_writer() is None
        assert batch_writer() is None
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "Sockets are written to one by one, as io_submit can't be had"
    ]


def test_a_machine_without_known_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong number would be another system call."""
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSYS)):
        BatchWriter()
