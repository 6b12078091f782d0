"""`tapecast publish`: to Redis by hand and through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from tests.support.valkey import Valkey


def environ(valkey: Valkey, **more: str) -> dict[str, str]:
    """An environment in which nothing of this machine's user is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAPECAST_")}
    folder = {"XDG_RUNTIME_DIR": str(valkey.folder)}
    return {**kept, **folder, "TAPECAST_REDIS_URL": valkey.url, **more}


def publish(
    env: Mapping[str, str], *arguments: str, given: str | bytes = b""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hub.cli", "publish", *arguments]
    text = given.encode() if isinstance(given, str) else given
    done = subprocess.run(command, env=dict(env), input=text, capture_output=True, timeout=60)
    return subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def entries(valkey: Valkey, channel: str) -> list[dict[str, object]]:
    """The envelopes in a channel's stream."""
    with redis.Redis.from_url(valkey.url) as link:
        return [
            json.loads(fields[b"e"]) for _, fields in link.xrange(f"tapecast:{{{channel}}}:log")
        ]


def test_a_publish_prints_where_it_stands(valkey: Valkey) -> None:
    """Epoch, seq and tag are those of the envelope, and data is as it was given."""
    done = publish(environ(valkey), "alerts", "margin_call", '{"level": 1.10}')
    assert (done.returncode, done.stderr) == (0, "")
    (entry,) = entries(valkey, "alerts")
    assert done.stdout.split() == [entry["epoch"], "1", entry["tag"]]
    assert (entry["event"], entry["data"]) == ("margin_call", {"level": 1.10})


def test_a_redis_that_may_not_write_just_now_is_waited_for(valkey: Valkey) -> None:
    """A publish that it answers with READONLY is sent again until it is taken."""
    with redis.Redis.from_url(valkey.url) as link:
        link.execute_command("REPLICAOF", "127.0.0.1", "1")
        command = [sys.executable, "-m", "hub.cli", "publish", "alerts", "e", "1"]
        running = subprocess.Popen(
            command, env=environ(valkey), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert running.stderr is not None
        assert "Trying for" in running.stderr.readline()
        link.execute_command("REPLICAOF", "NO", "ONE")
    written, _ = running.communicate(timeout=60)
    assert (running.returncode, written.split()[1]) == (0, "1")


def test_an_unchanged_value_is_said_to_be(valkey: Valkey) -> None:
    """What equals the state is not published again, and the position is that of its equal."""
    arguments = ("status", "status", '{"up": true}')
    first = publish(environ(valkey), *arguments)
    again = publish(environ(valkey), *arguments)
    assert again.stdout == f"{first.stdout.strip()} unchanged\n"
    as_json = json.loads(publish(environ(valkey), *arguments, "--json").stdout)
    epoch, seq, tag = first.stdout.split()
    assert as_json == {
        "channel": "status",
        "epoch": epoch,
        "seq": int(seq),
        "tag": tag,
        "unchanged": True,
    }


def test_a_pipe_publishes_a_value_a_line_in_order(valkey: Valkey) -> None:
    """Thousands of lines, more than fit a batch or a read, each get their position in order."""
    given = "\n".join(f'{{"n": {n}, "pad": "{"x" * 60}"}}' for n in range(3000))
    done = publish(environ(valkey), "decisions", "decision_made", "-", given=given)
    assert (done.returncode, done.stderr) == (0, "")
    seqs = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert seqs == list(range(1, 3001))
    assert [entry["data"]["n"] for entry in entries(valkey, "decisions")] == list(  # type: ignore[index]
        range(3000)
    )


def test_a_refused_line_is_named_and_the_others_go_on(valkey: Valkey) -> None:
    """Empty lines count and are skipped; the exit status tells of the refusals."""
    given = b'{"n": 1}\n\n{"n": NaN}\n{"n": "Infinity"}\nnothing\n\xff\n{"n": 2}'
    done = publish(environ(valkey), "decisions", "decision_made", "-", given=given)
    assert done.returncode == 1
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [
        " line 3", " line 4", " line 5", " line 6",
    ]  # fmt: skip
    assert [entry["data"] for entry in entries(valkey, "decisions")] == [{"n": 1}, {"n": 2}]


def test_an_endless_line_is_refused_and_the_others_go_on(valkey: Valkey) -> None:
    """It does not fill the memory, and no longer ends the pipe."""
    given = b'{"n": 1}\n' + b"[" * 2_000_000 + b'\n{"n": 2}\n'
    done = publish(environ(valkey), "decisions", "decision_made", "-", given=given)
    assert done.returncode == 1
    assert "line 2: expected at most" in done.stderr
    assert [entry["data"] for entry in entries(valkey, "decisions")] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        ("<&-", 2, "expected values on standard input, and it is closed"),
        ("0>/dev/null", 1, "standard input can't be read: Bad file descriptor"),
    ],
)
def test_no_standard_input_ends_it(
    valkey: Valkey, redirection: str, status: int, said: str
) -> None:
    """One that is closed or can't be read was once waited for without an end."""
    command = f"{sys.executable} -m hub.cli publish alerts e - {redirection}"
    done = subprocess.run(
        ["sh", "-c", command], env=environ(valkey), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status
    assert said in done.stderr


def test_a_line_is_published_when_it_comes(valkey: Valkey) -> None:
    """A program that writes now and then is not kept waiting for the end of its output."""
    with subprocess.Popen(
        [sys.executable, "-m", "hub.cli", "publish", "agent", "tick", "-"],
        env=environ(valkey),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin
        assert process.stdout
        for n in (1, 2):
            process.stdin.write(f"{n}\n")
            assert process.stdout.readline().split()[1] == str(n)
        process.stdin.close()
        assert process.wait() == 0


def test_a_table_takes_rows_or_a_patch(valkey: Valkey) -> None:
    """The kind of the stream says what the JSON is."""
    rows = '{"rows": {"a": {"size": "1"}, "b": {"size": "2"}}}'
    assert publish(environ(valkey), "positions", "positions_update", rows).returncode == 0
    patch = '{"delete": ["a"]}'
    assert publish(environ(valkey), "positions", "positions_update", patch).returncode == 0
    wrong = publish(environ(valkey), "positions", "positions_update", '{"a": 1}')
    assert wrong.returncode == 1
    assert 'a table expects {"rows"' in wrong.stderr
    with redis.Redis.from_url(valkey.url) as link:
        assert list(link.hkeys("tapecast:{positions}:state")) == [b"b"]


def test_streams_of_the_settings_file_are_known(valkey: Valkey, tmp_path: Path) -> None:
    """A channel gets the kind that the hub's own configuration gives it."""
    config = tmp_path / "tapecast.toml"
    config.write_text('[streams.orders]\nkind = "table"')
    wrong = publish(
        environ(valkey, TAPECAST_CONFIG=str(config)), "orders", "orders_update", '{"a": 1}'
    )
    assert "a table expects" in wrong.stderr


def test_another_kind_than_the_channels_is_refused(valkey: Valkey, tmp_path: Path) -> None:
    """A channel keeps the kind of its first publish."""
    assert publish(environ(valkey), "orders", "made", "1").returncode == 0
    config = tmp_path / "tapecast.toml"
    config.write_text('[streams.orders]\nkind = "value"')
    refused = publish(environ(valkey), "orders", "made", "1", "--config", str(config))
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Alerts", "e", "1"], "expected a channel name"),
        (["alerts", "e e", "1"], "expected an event name"),
        (["alerts", "e", "{"], "expected JSON in UTF-8"),
        (["alerts", "e"], "Missing argument 'JSON'"),
        (["alerts", "e", "1", "--redis", "redis://a", "--url", "http://b"], "leave one out"),
        (["alerts", "e", "1", "--redis", "a:6379"], "expected redis://"),
        (["alerts", "e", "1", "--url", "http://b"], "TAPECAST_TOKEN"),
    ],
)
def test_wrong_use_publishes_nothing(valkey: Valkey, arguments: list[str], said: str) -> None:
    """Exit status 2, and what was expected."""
    done = publish(environ(valkey), *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_redis_that_is_gone_is_a_failure(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it gives up, and says that nothing is certain."""
    valkey.stop()
    code = "import hub.cli.ways as w; w.ANSWER_SECONDS = 0.1; from hub.cli import main; main()"
    command = [sys.executable, "-c", code, "publish", "alerts", "e", "1"]
    done = subprocess.run(command, env=environ(valkey), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "may have been published all the same" in done.stderr


def test_a_password_that_is_missing_is_a_failure_at_once(valkey: Valkey) -> None:
    """It is not tried for a while: no time cures it."""
    with redis.Redis.from_url(valkey.url) as link:
        link.config_set("requirepass", "secret")
    done = publish(environ(valkey), "alerts", "e", "1")
    assert done.returncode == 1
    assert "uthentication required. --redis or TAPECAST_REDIS_URL says" in done.stderr
    assert "Trying" not in done.stderr
