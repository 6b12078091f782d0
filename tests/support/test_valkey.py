from __future__ import annotations

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.valkey import Valkey


def connect(valkey: Valkey, timeout_seconds: float = 10) -> redis.Redis:
    """A client that fails instead of trying again."""
    return redis.Redis(
        unix_socket_path=str(valkey.socket),
        socket_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def test_a_killed_server_comes_back_empty(valkey: Valkey) -> None:
    """Without an append-only file, what was written is gone after a kill."""
    with connect(valkey) as before:
        before.set("key", "value")
    valkey.kill()
    valkey.start()
    with connect(valkey) as after:
        assert after.get("key") is None


def test_a_durable_server_comes_back_whole(durable_valkey: Valkey) -> None:
    """With an append-only file, what was answered outlives a kill."""
    with connect(durable_valkey) as before:
        before.set("key", "value")
    durable_valkey.kill()
    durable_valkey.start()
    with connect(durable_valkey) as after:
        assert after.get("key") == "value"


def test_a_frozen_server_is_silent_until_it_thaws(valkey: Valkey) -> None:
    """A frozen server keeps its links open and answers none of them."""
    with connect(valkey, timeout_seconds=0.1) as hasty, connect(valkey) as patient:
        patient.ping()
        valkey.freeze()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()
        valkey.thaw()
        assert patient.ping()


def test_a_frozen_server_leaves_nothing_behind() -> None:
    """The end of the context ends a frozen server and removes its folder."""
    with Valkey() as valkey:
        valkey.freeze()
    assert not valkey.folder.exists()
