"""A synchronous agent that decides as fast as it can: `python -m tests.producers.agent URL SPOOL`.

It publishes `--from` to `--to` (exclusive), each as a decision and as an entry without a key, and
prints a line for each once both were accepted: it is true then that they are stored or spooled.
"""

from __future__ import annotations

import argparse
import os

from producers.answers import Outcome
from producers.link import Timing
from producers.spool import Spool
from producers.sync import SyncPublisher
from tests.producers.payloads import decision

SAFE = {Outcome.STORED, Outcome.SPOOLED}


def main() -> None:
    """Publish until there is nothing left to publish, or nobody to do it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("spool")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--to", dest="last", type=int, required=True)
    parser.add_argument("--always", action="store_true")
    options = parser.parse_args()
    timing = Timing(connect_seconds=0.5, answer_seconds=0.5, longest_pause_seconds=0.1)
    spool = Spool(options.spool, always=options.always)
    with SyncPublisher(options.url, name="agent", spool=spool, timing=timing) as publisher:
        for n in range(options.first, options.last):
            answers = [
                publisher.decision(decision(f"d-{n}")),
                publisher.publish("fills", "fill", {"n": n}),
            ]
            assert {answer.outcome for answer in answers} <= SAFE, answers
            os.write(1, f"{n}\n".encode())


if __name__ == "__main__":
    main()
