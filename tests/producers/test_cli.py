"""producers/cli.py: `tapecast produce`, as processes and in this one."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.protocol.publication import AppendEntry
from producers.cli import produce
from producers.spool_file import decode_row
from tests.producers.redis_view import envelopes, history
from tests.support.processes import wait_until
from tests.support.valkey import Valkey


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' own Redis and settings, whatever the caller's are."""
    for name in ("TAPECAST_REDIS_URL", "TAPECAST_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three decisions, one of them unreadable."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    for name, action in (("a", "BUY"), ("b", "HOLD")):
        content = {"id": name, "asset_pair": "BTCUSD", "action": action, "executed": name == "a"}
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "c.json").write_text("{")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(produce, [str(each) for each in arguments])


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test started, none of which outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], *arguments: object) -> subprocess.Popen[str]:
    code = "from producers.cli import produce; produce()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    processes.append(process)
    return process


def test_sources_are_found() -> None:
    """Each installed source is a sub-command."""
    result = run("--help")
    assert result.exit_code == 0
    assert "paper" in result.output
    assert "decision-store" in result.output


@pytest.mark.parametrize("source", ["paper", "decision-store"])
def test_help(source: str) -> None:
    """Every sub-command's help has examples and the options that all have."""
    result = run(source, "--help")
    assert result.exit_code == 0
    assert f"tapecast produce {source}" in result.output
    assert "--redis URL" in result.output


def test_once(valkey: Valkey, folder: Path) -> None:
    """What is there is published, counted and told; the second time there is no news."""
    first = run("decision-store", folder, "--once", "--redis", valkey.url)
    assert first.exit_code == 0, first.stderr
    assert first.stdout == "published 2, unchanged 0, refused 0, broken 1\n"
    assert "decisions 1: a BUY BTCUSD, executed\n" in first.stderr
    assert "c.json holds no decision: no JSON" in first.stderr
    second = run("decision-store", folder, "--once", "--quiet", "--redis", valkey.url)
    assert second.stdout == "published 0, unchanged 2, refused 0, broken 1\n"
    assert "BTCUSD" not in second.stderr
    assert len(envelopes(valkey, "decisions")) == 2
    assert len(envelopes(valkey, "alerts")) == 1


def test_refused(valkey: Valkey, folder: Path, tmp_path: Path) -> None:
    """A publish that Redis refuses is a failure, with the reason."""
    config = tmp_path / "tapecast.toml"
    run("decision-store", folder, "--once", "--redis", valkey.url)
    config.write_text('[streams.decisions]\nkind = "value"')
    result = run("decision-store", folder, "--once", "--redis", valkey.url, "--config", config)
    assert result.exit_code == 1
    assert "refused 2" in result.stdout


def test_no_redis(folder: Path) -> None:
    """`--once` does not wait for a Redis that isn't there."""
    result = run("decision-store", folder, "--once", "--redis", f"unix://{folder}/none.sock")
    assert result.exit_code == 1
    assert "Redis does not answer" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["decision-store"], "Missing argument 'FOLDER'"),
        (["decision-store", "no-such-folder"], "does not exist"),
        (["paper", "--redis", "http://x"], "must specify one of the following schemes"),
        (["paper", "--interval", "0"], "0.01"),
        (["paper", "--account", "Not A Name"], "expected a channel name"),
        (["no-such-source"], "No such command"),
    ],
)
def test_wrong_use(arguments: list[str], why: str) -> None:
    """Wrong use is status 2, and says what was expected."""
    result = run(*arguments)
    assert result.exit_code == 2, result.stderr
    assert why in result.stderr


def test_bad_config(tmp_path: Path) -> None:
    """So are settings that can't be used."""
    config = tmp_path / "tapecast.toml"
    config.write_text("[streams.a]\nkept = 1")
    result = run("paper", "--config", config)
    assert result.exit_code == 2
    assert "kept" in result.stderr


def test_options_stand_in_the_file_too(valkey: Valkey, folder: Path, tmp_path: Path) -> None:
    """A source's table gives what is not said on the command line, arguments too."""
    config = tmp_path / "tapecast.toml"
    config.write_text(
        f"[sources.decision-store]\nfolder = '{folder}'\naccount = 'a'\n"
        f"[sources.desk]\nfolder = '{folder}'\naccount = 'b'\nonce = true\n"
    )
    common = ["--redis", valkey.url, "--config", config]
    assert run("decision-store", "--once", *common).stdout.startswith("published 2")
    assert run("decision-store", "--once", "--account", "c", *common).exit_code == 0
    assert run("decision-store", "--as", "desk", *common).stdout.startswith("published 2")
    for account in ("a", "b", "c"):
        assert len(envelopes(valkey, f"decisions:{account}")) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[sources.paper]\nsed = 7", "[sources.paper]: unknown option sed. Known are: account,"),
        ("[sources.paper]\nseed = 'x'", "Invalid value for '--seed'"),
        ("[sources.paper]\nredis = 'redis://x'", "unknown option redis"),
        ("sources = 7", "expected a table a source"),
    ],
)
def test_a_table_that_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    """A misspelled option is refused, not passed over; `--help` is shown all the same."""
    config = tmp_path / "tapecast.toml"
    config.write_text(text)
    result = run("paper", "--config", config)
    assert result.exit_code == 2
    assert why in result.stderr
    assert run("paper", "--config", config, "--help").exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_paper_until_a_signal(
    valkey: Valkey, processes: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    """The paper agent trades until it is told to stop, and ends with status 0 and its counts."""
    process = start(processes, "paper", "--interval", "0.02", "--redis", valkey.url)
    wait_until(lambda: len(envelopes(valkey, "decisions")) > 3, "decisions")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert stderr.startswith(f"paper: publishing to {valkey.url}")
    assert "decisions 1: paper-" in stderr
    assert "stored " in stderr.splitlines()[-1]
    assert len(history(valkey, "portfolio")) > 1


def test_following_until_a_signal(
    valkey: Valkey, processes: list[subprocess.Popen[str]], folder: Path
) -> None:
    """The decision store is followed until it is told to stop."""
    process = start(processes, "decision-store", folder, "--redis", valkey.url)
    wait_until(lambda: len(envelopes(valkey, "decisions")) == 2, "the first decisions")
    (folder / "d.json").write_text('{"asset_pair": "A", "action": "SELL"}')
    wait_until(lambda: len(envelopes(valkey, "decisions")) == 3, "the added one")
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 0, stderr
    assert "decisions 3: d SELL A" in stderr


def test_a_spool(
    valkey: Valkey, processes: list[subprocess.Popen[str]], folder: Path, tmp_path: Path
) -> None:
    """Two runs can't share a spool; what a run that was killed had in it is published by the next
    one, whatever its source, in order."""
    spool, journal = tmp_path / "spool", tmp_path / "spool-wal"
    options = ("--redis", valkey.url, "--spool", spool)
    process = start(processes, "paper", "--interval", "0.02", *options)
    wait_until(lambda: len(envelopes(valkey, "decisions")) > 0, "a decision")
    other = run("decision-store", folder, "--once", *options)
    assert other.exit_code == 1
    assert "another publisher has this spool" in other.stderr
    valkey.freeze()
    size = journal.stat().st_size
    wait_until(lambda: journal.stat().st_size > size + 100_000, "publishes in the spool")
    process.kill()
    process.communicate()
    with closing(sqlite3.connect(spool)) as db:
        rows = db.execute(
            "SELECT * FROM waiting WHERE channel = 'agent' ORDER BY number"
        ).fetchall()
    left = [waiting.change for row in rows if (waiting := decode_row(spool, row))]
    entries = [change.data for change in left if isinstance(change, AppendEntry)]
    assert entries
    valkey.thaw()
    assert run("decision-store", folder, "--once", *options).exit_code == 0
    told = [each.data for each in envelopes(valkey, "agent")]
    assert told[-len(entries) :] == entries


def test_passwords_are_not_shown(processes: list[subprocess.Popen[str]]) -> None:
    """The password of a Redis URL is never printed."""
    process = start(processes, "paper", "--redis", "redis://me:hush@127.0.0.1:1/0")
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line == "paper: publishing to redis://127.0.0.1:1/0, Ctrl-C ends it\n"


def test_recorded_decisions(valkey: Valkey, tmp_path: Path) -> None:
    """Files of the recorded shapes are published once each, with what they say."""
    shapes = [
        {"id": "t1", "asset_pair": "ETHUSD", "action": "BUY", "confidence": 80, "amount": 0.1,
         "timestamp": "2025-01-01T00:00:00Z", "executed": True},
        {"id": "t2", "asset_pair": "ETHUSD", "action": "BUY", "entry_price": 100.0,
         "timestamp": "2025-11-27T16:47:33.661809", "recommended_position_size": 1.0},
        {"decision_id": "t3", "asset_pair": "BIP20DEC30CDE", "action": "HOLD", "confidence": 50,
         "entry_price": "87550", "metadata": {"leverage": 1, "unrealized": "3.2"}},
    ]  # fmt: skip
    for number, shape in enumerate(shapes):
        (tmp_path / f"2025-01-01_{number}.json").write_text(json.dumps(shape))
    for published in (3, 0):
        result = run("decision-store", tmp_path, "--once", "--redis", valkey.url)
        assert result.stdout.startswith(f"published {published}, unchanged {3 - published},")
    told = {data["id"]: data for _event, data in history(valkey, "decisions")}
    assert told["t1"]["size"] == "0.1"
    assert told["t2"]["timestamp"] == "2025-11-27T16:47:33.661809Z"
    assert told["t3"]["entry_price"] == "87550"


def test_sources_that_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can't be loaded says why, and hides no other; there was no help with one."""
    known = tmp_path / "broken-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    entries = "[tapecast.sources]\ngone = gone.away:Source\nnone = json:dumps\n"
    (known / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(tmp_path)
    listed = run("--help")
    assert listed.exit_code == 0, listed.output
    for name in ("gone", "none"):
        assert f"{name}            (can't be loaded)" in listed.output
    assert "  paper " in listed.output
    done = run("gone", "--interval", "5")
    assert done.exit_code == 1
    assert "the source gone can't be loaded. gone.away:Source: ModuleNotFoundError" in done.stderr
    assert "json:dumps: TypeError" in run("none").stderr
