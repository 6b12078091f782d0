"""One piece written to many sockets by two system calls: Linux' asynchronous I/O (io_submit(2)).

Python pays for each call of `send`: its arguments, the interpreter's lock, the socket's object.
Here one system call carries a thousand writes, and sockets are numbers in an array. On a socket
that does not block the kernel does such a write at once, and says how much it took, as send(2)
would; so nothing is under way any more when `write` returns.

The layout of the arrays is that of `struct iocb` and `struct io_event` (linux/aio_abi.h) on a
little-endian machine of 64 bits. The numbers of the calls are those of the machine.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import platform
import socket
import sys
import threading
from array import array
from collections.abc import Sequence
from typing import NamedTuple

logger = logging.getLogger(__name__)

SLOTS = 1024
"""The most writes of one system call."""

_CONTROL, _EVENT = 8, 4
"""Words of 8 bytes of a `struct iocb` and of a `struct io_event`."""
_DATA, _WHAT, _ADDRESS, _SIZE = 0, 2, 3, 4
"""Words of a `struct iocb`: aio_data; opcode, priority and descriptor; aio_buf; aio_nbytes."""
_SLOT, _TAKEN = 0, 2
"""Words of a `struct io_event`: the iocb's aio_data, and the result."""
_PWRITE = 1
_CHECKED = b"taken"


class _Calls(NamedTuple):
    setup: int
    getevents: int
    submit: int


_OF_MACHINE = {
    "x86_64": _Calls(setup=206, getevents=208, submit=209),
    # asm-generic/unistd.h
    "aarch64": _Calls(setup=0, getevents=4, submit=2),
    "riscv64": _Calls(setup=0, getevents=4, submit=2),
}


class BatchWriter:
    """Writes to sockets that do not block; belongs to one thread of one process."""

    def __init__(self) -> None:
        """Raises OSError where the kernel has no such calls, or forbids them."""
        calls = _OF_MACHINE.get(platform.machine())
        if calls is None or not sys.platform.startswith("linux") or sys.byteorder != "little":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._calls = calls
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = (ctypes.c_long, *[ctypes.c_ulong] * 5)
        self._controls = array("Q", bytes(8 * _CONTROL * SLOTS))
        self._controls[_DATA::_CONTROL] = array("Q", range(SLOTS))
        first = self._controls.buffer_info()[0]
        self._pointers = array("Q", range(first, first + 8 * _CONTROL * SLOTS, 8 * _CONTROL))
        self._events = array("q", bytes(8 * _EVENT * SLOTS))
        context = ctypes.c_ulong(0)
        if self._syscall(calls.setup, SLOTS, ctypes.addressof(context), 0, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        # Ends with the process.
        self._context = context.value

    def write(self, piece: bytes, words: Sequence[int]) -> list[tuple[int, int]]:
        """Write the piece to each socket, given by its `word`; returns those that did not take all
        of it, each with the number of bytes that it took."""
        address, size = ctypes.cast(ctypes.c_char_p(piece), ctypes.c_void_p).value, len(piece)
        assert address is not None, "bytes are somewhere"
        short: list[tuple[int, int]] = []
        for at in range(0, len(words), SLOTS):
            of_call = array("Q", words[at : at + SLOTS])
            end = _CONTROL * len(of_call)
            self._controls[_WHAT:end:_CONTROL] = of_call
            self._controls[_ADDRESS:end:_CONTROL] = array("Q", (address,)) * len(of_call)
            self._controls[_SIZE:end:_CONTROL] = array("Q", (size,)) * len(of_call)
            refused = self._submit(len(of_call))
            done = len(of_call) - len(refused)
            self._wait(done)
            short += [(of_call[slot], 0) for slot in refused]
            taken = self._events[_TAKEN : _EVENT * done : _EVENT]
            if taken != array("q", (size,)) * done:
                slots = self._events[_SLOT : _EVENT * done : _EVENT]
                short += [
                    (of_call[slot], max(count, 0))
                    for slot, count in zip(slots, taken, strict=True)
                    if count != size
                ]
        return short

    def _submit(self, count: int) -> list[int]:
        """The slots that the kernel refused to look at: no open descriptor, for one."""
        refused: list[int] = []
        at, pointers = 0, self._pointers.buffer_info()[0]
        while at < count:
            begun = self._syscall(
                self._calls.submit, self._context, count - at, pointers + 8 * at, 0, 0
            )
            if begun < 0:
                # It speaks of the first of them.
                refused.append(at)
                begun = 1
            at += begun
        return refused

    def _wait(self, count: int) -> None:
        """Until so many have ended, which they have: see above."""
        got, events = 0, self._events.buffer_info()[0]
        while got < count:
            left = count - got
            more = self._syscall(
                self._calls.getevents, self._context, left, left, events + 8 * _EVENT * got, 0
            )
            if more < 0 and ctypes.get_errno() != errno.EINTR:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            got += max(more, 0)


def word(descriptor: int) -> int:
    """What `BatchWriter.write` knows a socket by."""
    return descriptor << 32 | _PWRITE


def descriptor(word: int) -> int:
    """The descriptor of a word."""
    return word >> 32


_of_thread = threading.local()


def batch_writer() -> BatchWriter | None:
    """This thread's, or None where it can't be had, or does not write as it should: what only looks
    like Linux may have the calls and do something else."""
    try:
        writer: BatchWriter | None = _of_thread.writer
    except AttributeError:
        writer = _of_thread.writer = _checked()
    return writer


def _checked() -> BatchWriter | None:
    try:
        writer = BatchWriter()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            short = writer.write(_CHECKED, [word(ours.fileno())] * 2)
            if short or theirs.recv(3 * len(_CHECKED)) != 2 * _CHECKED:
                raise OSError(errno.EIO, "it did not write what it was given")
    except OSError as error:
        logger.info("Sockets are written to one by one, as io_submit can't be had: %s", error)
        return None
    return writer
