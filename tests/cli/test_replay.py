"""`tapecast replay`, from Redis and from a recording that was made meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from hub.cli.moments import now_us
from tests.cli.conftest import Command, RunningHub
from tests.cli.test_record import has_snapshots, publish, recording, stop
from tests.support.processes import wait_until
from tests.support.recordings import updates_of
from tests.support.valkey import Valkey


def command(valkey: Valkey, **more: str) -> Command:
    """`tapecast` of a user of this server."""
    folder = {"XDG_RUNTIME_DIR": str(valkey.folder)}
    return Command({**folder, "TAPECAST_REDIS_URL": valkey.url, **more})


def publish_to(client: Command, channel: str, values: list[Any]) -> None:
    """Publish to Redis."""
    given = "\n".join(json.dumps(value) for value in values).encode()
    done = client.run("publish", channel, "note", "-", given=given)
    assert done.returncode == 0, done.stderr


def stored(valkey: Valkey, channel: str) -> list[dict[str, Any]]:
    """The envelopes of a channel."""
    with redis.Redis.from_url(valkey.url) as link:
        found: Any = link.xrange(f"tapecast:{{{channel}}}:log")
        return [json.loads(fields[b"e"]) for _, fields in found]


def replayed(client: Command, channel: str, at: int, *arguments: str) -> dict[str, Any]:
    """The answer as JSON, which must be exact."""
    done = client.run("replay", channel, "--at", str(at), "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_redis_tells_what_was_shown(valkey: Valkey) -> None:
    """Of each kind, at the time of each change and just before the next one."""
    client = command(valkey)
    publish_to(client, "portfolio", [{"equity": "1.00"}, {"equity": "1.10"}, {"equity": "1.20"}])
    publish_to(client, "positions", [
        {"rows": {"a": 1, "b": 1}}, {"delete": ["a"]}, {"upsert": {"c": 3}},
    ])  # fmt: skip
    publish_to(client, "decisions", [1, 2, 3])
    shown: dict[str, list[Any]] = {
        "portfolio": [{"equity": "1.00"}, {"equity": "1.10"}, {"equity": "1.20"}],
        "positions": [{"rows": r} for r in ({"a": 1, "b": 1}, {"b": 1}, {"b": 1, "c": 3})],
        "decisions": [[1], [1, 2], [1, 2, 3]],
    }
    for channel, states in shown.items():
        entries = stored(valkey, channel)
        for n, state in enumerate(states):
            at = entries[n]["ts"]
            moments = [at, entries[n + 1]["ts"] - 1 if n < 2 else now_us()]
            for moment in moments:
                past = replayed(client, channel, moment)
                told = past["data"]
                if channel == "decisions":
                    told = [entry["data"] for entry in told["entries"]]
                assert (told, past["exact"], past["proved"]) == (state, True, 3)
                assert past["position"] == {
                    name: entries[n][name] for name in ("epoch", "seq", "tag")
                }


def test_people_are_told_where_it_stood(valkey: Valkey) -> None:
    """Position, age and proof, then the data with its digits."""
    client = command(valkey)
    publish_to(client, "portfolio", [{"equity": "10.10"}])
    (entry,) = stored(valkey, "portfolio")
    done = client.run("replay", "portfolio", "--at", str(entry["ts"] + 1))
    assert done.returncode == 0
    head, place, state, proof, *data = done.stdout.splitlines()
    assert head.startswith("portfolio (value) at ")
    assert place == f"position {entry['epoch']} 1 {entry['tag']}, published 0s before"
    assert state == "not known whether it was stale"
    assert proof == "exact: proved by the tags of 1 changes"
    assert "\n".join(data) == '{\n  "equity": "10.10"\n}'
    later = client.run("replay", "portfolio", "--at", "2999-01-01")
    assert (later.returncode, later.stdout) == (1, "")
    assert "is not known: it is still to come. Known is " in later.stderr


def test_beyond_what_is_kept_nothing_is_said(valkey: Valkey, tmp_path: Path) -> None:
    """How far it goes back is; a row that can't be known is named, with exit status 1."""
    config = tmp_path / "tapecast.toml"
    config.write_text("[streams.positions]\nkeep = 50\n")
    client = command(valkey, TAPECAST_CONFIG=str(config))
    publish_to(client, "positions", [
        {"rows": {"a": 0, "never": 0, "late": 0}}, *({"upsert": {"a": n}} for n in range(1, 400)),
        {"upsert": {"late": 1}},
    ])  # fmt: skip
    kept = stored(valkey, "positions")
    assert kept[0]["seq"] > 1
    early = client.run("replay", "positions", "--at", str(kept[0]["ts"] - 1))
    assert early.returncode == 1
    assert early.stdout == ""
    assert "is not known: before the oldest entry that is kept. Known is " in early.stderr
    done = client.run("replay", "positions", "--at", str(kept[5]["ts"]), "--json")
    assert done.returncode == 1
    past = json.loads(done.stdout)
    assert (past["exact"], past["unknown"]) == (False, ["late"])
    assert past["data"] == {"rows": {"a": kept[5]["data"]["upsert"]["a"], "never": 0}}
    shown = client.run("replay", "positions", "--at", str(kept[5]["ts"])).stdout
    assert "NOT EXACT: 1 rows changed later" in shown
    assert 'rows that can\'t be known: ["late"]' in shown
    nothing = client.run("replay", "alerts", "--at", "1h")
    assert nothing.returncode == 1
    assert "nothing was published to it" in nothing.stderr


@pytest.mark.parametrize("source", ["hub", "redis"])
def test_a_recording_and_redis_say_the_same(hub: RunningHub, source: str, tmp_path: Path) -> None:
    """Of a time that both know."""
    out = tmp_path / "day.jsonl"
    client = hub.client()
    client.environ["TAPECAST_REDIS_URL"] = hub.redis_url
    publish(hub, "positions", [{"rows": {"a": 0, "b": 0}}])
    with recording(client, hub, source, out, "positions", "alerts") as process:
        wait_until(lambda: has_snapshots(out, 2), "the snapshots")
        publish(hub, "positions", [{"upsert": {"a": n}} for n in range(1, 20)])
        wait_until(lambda: len(updates_of(out, "positions")) == 19, "the changes")
        stop(process)
    for update in updates_of(out, "positions")[::6]:
        from_redis = replayed(client, "positions", update.ts)
        from_file = replayed(client, "positions", update.ts, "--file", str(out))
        for name in ("position", "ts", "data", "kind"):
            assert from_file[name] == from_redis[name]
        assert (from_redis["stale"], from_file["stale"]) == (None, False)
    later = client.run("replay", "positions", "--at", "2030-01-01T00:00Z", "--file", str(out))
    assert later.returncode == 1
    assert "after the recording" in later.stderr
    assert replayed(client, "alerts", updates_of(out, "positions")[-1].ts, "--file", str(out))[
        "data"
    ] == {"entries": []}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["portfolio"], 2, "Missing option '--at'"),
        (["portfolio", "--at", "yesterday"], 2, "expected a time such as"),
        (["portfolio", "--at", "25:00"], 2, "expected a time such as"),
        (["portfolio", "--at", "1h", "--file", "x"], 2, "does not exist"),
        (["portfolio", "--at", "1h", "--file", __file__], 1, "expected a row of a recording"),
        (["portfolio", "--at", "1h", "--file", __file__, "--redis", "redis://a"], 2, "leave one"),
        (["portfolio", "--at", "1h", "--redis", "unix:///nowhere"], 1, "/nowhere"),
    ],
)
def test_wrong_use_says_what_was_expected(
    alone: Command, arguments: list[str], status: int, said: str
) -> None:
    """Also a file that is no recording, and a Redis that is not there."""
    done = alone.run("replay", *arguments)
    assert done.returncode == status
    assert said in done.stderr
