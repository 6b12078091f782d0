"""producers/logs.py: log records as events, which never cost the program anything."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.link import Timing
from producers.logs import MAX_TEXT, PublishingHandler
from producers.sync import SyncPublisher
from tests.producers.redis_view import envelopes, history
from tests.support.valkey import Valkey

QUICK = Timing(
    connect_seconds=0.2,
    answer_seconds=0.2,
    patience_seconds=0.05,
    longest_pause_seconds=0.1,
    drain_seconds=0.2,
)


@contextlib.contextmanager
def logging_to(handler: PublishingHandler, name: str = "desk") -> Iterator[logging.Logger]:
    """A logger whose records go to the handler."""
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    # pytest's own handlers fail a test for a record that is wrong.
    logger.propagate = False
    try:
        yield logger
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def test_records_are_published(valkey: Valkey) -> None:
    """From the handler's level on; errors as errors, with the traceback."""
    with SyncPublisher(valkey.url) as publisher:
        handler = PublishingHandler(publisher, channel="agent:desk-7")
        with logging_to(handler) as logger:
            logger.info("nothing to see")
            logger.warning("the market is %s", "thin")
            try:
                raise LookupError("BTCUSD")
            except LookupError:
                logger.exception("no price")
        assert publisher.flush(20)
    first, second = history(valkey, "agent:desk-7")
    assert first == (
        "log",
        {
            "component": "desk",
            "detail": "the market is thin",
            "level": "WARNING",
            "traceback": None,
        },
    )
    event, line = second
    assert (event, line["level"], line["detail"]) == ("error", "ERROR", "no price")
    assert line["traceback"].endswith("LookupError: BTCUSD")
    assert handler.dropped == 0


def test_logging_never_fails(valkey: Valkey, capsys: pytest.CaptureFixture[str]) -> None:
    """What can't be published is counted, and the program goes on."""
    with SyncPublisher(valkey.url) as publisher:
        handler = PublishingHandler(publisher)
        with logging_to(handler) as logger:
            logger.warning("half a character: \ud800")
            logger.warning("x" * (MAX_TEXT + 1))
            logger.warning("no argument for %s and %s", "one")
            logger.warning("NaN")
            assert publisher.flush(20)
    with logging_to(handler) as logger:
        logger.warning("the publisher is closed")
    details = [line["detail"] for _event, line in history(valkey, "agent")]
    assert details == ["half a character: ?", "x" * MAX_TEXT]
    assert handler.dropped == 3
    # As logging's own handlers say it.
    assert "not enough arguments for format string" in capsys.readouterr().err


def test_logging_never_waits(valkey: Valkey) -> None:
    """While Redis is away so many records wait and no more; how many were dropped is told."""
    with SyncPublisher(valkey.url, timing=QUICK) as publisher:
        handler = PublishingHandler(publisher, max_waiting=10)
        publisher.ping()
        valkey.freeze()
        with logging_to(handler) as logger:
            for n in range(25):
                logger.warning("record %d", n)
            # What agents decide has its room.
            publisher.hand_over("decisions", "decision_made", {"id": "d-1"})
            valkey.thaw()
            assert publisher.flush(20)
            logger.warning("record 25")
        assert publisher.flush(20)
    details = [line["detail"] for _event, line in history(valkey, "agent")]
    assert details == [
        *(f"record {n}" for n in range(10)),
        "15 log records were dropped: too many waited for Redis",
        "record 25",
    ]
    assert handler.dropped == 15
    assert len(envelopes(valkey, "decisions")) == 1


def test_logging_never_feeds_itself(valkey: Valkey, tmp_path: Path) -> None:
    """On the root logger: what the publisher says of itself is not published, also where it says
    so while it opens for the first record."""
    spool = tmp_path / "spool"
    spool.write_bytes(b"damaged, which is logged as an error")
    publisher = SyncPublisher(valkey.url, spool=spool, timing=QUICK)
    handler = PublishingHandler(publisher)
    with logging_to(handler, name="root"):
        logging.getLogger("desk").warning("first")
        assert publisher.flush(20)
        valkey.freeze()
        logging.getLogger("desk").warning("second")
        publisher.touch("status")
        logging.getLogger("asyncio").warning("of the loop")
        valkey.thaw()
        assert publisher.flush(20)
        publisher.close()
    assert [line["detail"] for _event, line in history(valkey, "agent")] == ["first", "second"]
