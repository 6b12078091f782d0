"""What an entry of an inlet costs: a part of `benchmarks.ingest`.

One program adds entries to a Redis Stream in pipelines, as a program in another language would, and
`tapecast ingest` publishes them to a log. Both share a core, and Valkey has the other.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis

from benchmarks import load, script, servers
from benchmarks.servers import Cores
from benchmarks.usage import usage
from hub.protocol import keys
from hub.protocol.inlet import DEFAULT_INLET

CHANNEL = "decisions"
PIPELINE = 500
POLL_SECONDS = 0.02
START_SECONDS = 30.0


class Run(msgspec.Struct, frozen=True):
    """Entries a second, from the first that is added to the last that is published, and the CPU
    time of one: where it is added, in `tapecast ingest`, and in Valkey, with both."""

    per_second: float
    adding_us: float
    worker_us: float
    redis_us: float
    redis_busy: float
    programs_busy: float


def measure(entries: int, cores: Cores) -> Run:
    """Add so many entries, and wait until all are published."""
    with tempfile.TemporaryDirectory(prefix="tapecast-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        with load.on_core(cores.server):
            at = stack.enter_context(servers.setting(folder, (), folder / "none"))
        pid = at.redis_info()["process_id"]
        client = stack.enter_context(redis.Redis.from_url(at.redis))
        worker = stack.enter_context(_ingesting(at, client))
        of_redis, of_worker, own = usage(pid), usage(worker), time.process_time()
        began = time.monotonic()
        _add(client, entries)
        added = time.process_time()
        while _published(client) < entries:
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        redis_seconds = usage(pid).cpu_seconds - of_redis.cpu_seconds
        worker_seconds = usage(worker).cpu_seconds - of_worker.cpu_seconds
    return Run(
        per_second=entries / seconds,
        adding_us=(added - own) * 1e6 / entries,
        worker_us=worker_seconds * 1e6 / entries,
        redis_us=redis_seconds * 1e6 / entries,
        redis_busy=redis_seconds / seconds,
        programs_busy=(added - own + worker_seconds) / seconds,
    )


@contextlib.contextmanager
def _ingesting(at: servers.Setting, client: redis.Redis) -> Iterator[int]:
    """`tapecast ingest`, once it listens; its process id."""
    command = servers.ingest_command(at)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not client.exists(DEFAULT_INLET):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise script.Failed("tapecast ingest did not start")
                time.sleep(POLL_SECONDS)
            yield process.pid
        finally:
            process.terminate()
            process.communicate()


def _add(client: redis.Redis, entries: int) -> None:
    for first in range(0, entries, PIPELINE):
        pipeline = client.pipeline(transaction=False)
        for number in range(first, min(first + PIPELINE, entries)):
            data = (
                f'{{"pair":"BTCUSD","price":"{number}.25","size":"0.0500","stop":"86800.00",'
                '"note":"a break of the upper band on rising volume"}'
            )
            pipeline.xadd(DEFAULT_INLET, {"channel": CHANNEL, "event": "benchmark", "data": data})
        pipeline.execute()


def _published(client: redis.Redis) -> int:
    found: Any = client.hget(keys.meta(CHANNEL), "seq")
    return int(found or 0)
