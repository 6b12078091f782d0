"""`tapecast audit`: who told which agent to do what, and what came of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from hub.cli.moments import MOMENT
from hub.cli.options import config_option, read_settings, running_embedded
from hub.cli.values import AGENT

if TYPE_CHECKING:
    from redis import Redis

BLOCK_MS = 1000
"""How long one look for new steps waits; agents that are new are found with the next."""
PAGE = 1000
ANSWER_SECONDS = 5.0
RETRY_SECONDS = 0.5


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step. at: RFC 3339; who and by: the sender, and the hub or worker that recorded it.

    text: the data, result or reason of the step, as JSON.
    """

    at: str
    channel: str
    step: str
    command: str
    who: str
    by: str
    id: str = ""
    attempt: int = 0
    origin: str = ""
    text: msgspec.Raw | None = None
    outcome: str = ""


@click.command(short_help="Show who commanded what, and what came of it.")
@click.option("--agent", type=AGENT, metavar="NAME", help="Of this agent alone.")
@click.option("--since", type=MOMENT, metavar="TIME", help="No older: 15m, 7d, 14:30, a date.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--redis", metavar="URL", help="Read from this Redis or Valkey.")
@config_option
def audit(
    agent: str | None,
    since: int | None,
    follow: bool,
    as_json: bool,
    redis: str | None,
    config: Path | None,
) -> None:
    """Show each step of each command: when, which agent, what, who, from where, and the outcome.

    sent, handed to a worker, accepted, and done, failed or expired; returned, where a worker left
    it; refused, where one came too late; denied, where somebody had not the right to command.
    It is read from Redis, found as `tapecast serve` finds it. Redis keeps the last 100,000 steps
    of an agent: to keep them all, follow into a file.

    \b
    Examples:
      tapecast audit --since 1h
      tapecast audit --agent desk-7 --since 2026-07-01T14:30:00Z --follow
      tapecast audit --json | jq -r 'select(.step == "denied") | .who'
    """
    from redis.exceptions import RedisError

    settings = read_settings(config, options={"redis_url": redis}, fallbacks=running_embedded())
    try:
        with _link(settings.redis_url) as link:
            log = _Log(link, agent, since)
            _show(log, follow=follow, as_json=as_json)
    except KeyboardInterrupt:
        return  # how following ends
    except BrokenPipeError:
        # Whoever read the lines has seen enough; what is buffered for them has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (RedisError, OSError) as error:
        raise click.ClickException(
            f"the audit can't be read: {error}. --redis or TAPECAST_REDIS_URL says which Redis to "
            "use."
        ) from None


def _link(url: str) -> Redis:
    from redis import Redis

    return Redis.from_url(
        url, protocol=2, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
    )


class _Log:
    """The steps of every agent, or of one, in the order of time."""

    def __init__(self, link: Redis, agent: str | None, since: int | None) -> None:
        from hub.protocol.agent_commands import agent_channel

        self._link = link
        self._channel = None if agent is None else agent_channel(agent)
        self._start = "0" if since is None else str(max(0, since // 1000))
        self._last: dict[str, str] = {}

    def so_far(self) -> Iterator[Entry]:
        """What there is, oldest first."""
        import heapq

        streams = [self._read(stream, channel) for stream, channel in self._streams().items()]
        for _, entry in heapq.merge(*streams, key=lambda found: found[0]):
            yield entry

    def _read(self, stream: str, channel: str) -> Iterator[tuple[tuple[int, int], Entry]]:
        start = self._start
        while True:
            page: Any = self._link.xrange(stream, start, "+", count=PAGE)
            for id, fields in page:
                self._last[stream] = id.decode()
                if (entry := _entry(id, fields, channel)) is not None and self._is_wanted(entry):
                    yield _order(id), entry
            if len(page) < PAGE:
                return
            start = f"({self._last[stream]}"

    def _is_wanted(self, entry: Entry) -> bool:
        return self._channel in (None, entry.channel)

    def follow(self) -> Iterator[Entry]:
        """What comes after that, as it comes; goes on where it was when Redis was away."""
        from redis.exceptions import ConnectionError as LinkLostError
        from redis.exceptions import TimeoutError as NoAnswerError

        away = False
        while True:
            try:
                found = self._next()
            except (LinkLostError, NoAnswerError) as error:
                if not away:
                    click.echo(f"Redis is away: {error}. Trying again ...", err=True)
                away = True
                time.sleep(RETRY_SECONDS)
            else:
                away = False
                yield from found

    def _next(self) -> list[Entry]:
        """What came since, in the order of time; waits a while for it."""
        streams = self._streams()
        # An agent that is new has nothing that was shown.
        begin: Any = {stream: self._last.get(stream, self._start) for stream in streams}
        found: Any = self._link.xread(begin, count=PAGE, block=BLOCK_MS)
        entries = []
        for name, page in found or []:
            stream = name.decode()
            for id, fields in page:
                self._last[stream] = id.decode()
                entry = _entry(id, fields, streams[stream])
                if entry is not None and self._is_wanted(entry):
                    entries.append((_order(id), entry))
        return [entry for _, entry in sorted(entries, key=lambda each: each[0])]

    def _streams(self) -> dict[str, str]:
        """The streams to read, each with its channel; that of the denied has those of many."""
        from hub.protocol import keys
        from hub.protocol.agent_commands import is_commands
        from hub.protocol.channels import check_channel
        from hub.protocol.errors import ChannelNameError

        channels = [] if self._channel is None else [self._channel]
        if self._channel is None:
            members: Any = self._link.smembers(keys.COMMANDED)
            for member in members:
                try:
                    name = check_channel(member.decode(errors="replace"))
                except ChannelNameError:
                    continue  # put there by hand
                channels += [name] if is_commands(name) else []
        return {**{keys.audit(name): name for name in channels}, keys.DENIED: ""}


def _order(id: bytes) -> tuple[int, int]:
    milliseconds, _, number = id.partition(b"-")
    return int(milliseconds), int(number)


def _entry(id: bytes, raw: dict[bytes, bytes], channel: str) -> Entry | None:
    """A step as it was recorded; None for what was put there by hand."""
    fields = {name.decode(errors="replace"): text for name, text in raw.items()}
    said = {name: text.decode(errors="replace") for name, text in fields.items()}
    moment = datetime.fromtimestamp(_order(id)[0] / 1000, UTC)
    try:
        who = said["sender"]
        return Entry(
            at=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            channel=channel or said["channel"],
            step=said["step"],
            command=said["event"],
            # A hub knows it as it is, a script as JSON.
            who=who if "channel" in said else msgspec.json.decode(who, type=str),
            by=said["by"],
            id=said.get("id", ""),
            attempt=int(said.get("attempt", "0")),
            origin=said.get("from", ""),
            text=_text(fields),
            outcome=said.get("outcome", ""),
        )
    except (KeyError, ValueError):
        return None


def _text(fields: dict[str, bytes]) -> msgspec.Raw | None:
    for name in ("data", "result", "reason", "text"):
        if text := fields.get(name):
            msgspec.json.decode(text)
            return msgspec.Raw(text)
    return None


def _show(log: _Log, *, follow: bool, as_json: bool) -> None:
    shown = False
    for entry in log.so_far():
        _print(entry, as_json=as_json)
        shown = True
    if not shown and not follow:
        click.echo("No commands were sent in that time.", err=True)
    if follow:
        sys.stdout.flush()
        for entry in log.follow():
            _print(entry, as_json=as_json)
            sys.stdout.flush()


def _print(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(entry))
        return
    from hub.cli.lines import printable

    moment = datetime.fromisoformat(entry.at).astimezone()
    where = entry.origin or entry.by
    attempt = f" attempt {entry.attempt}" if entry.attempt > 1 else ""
    text = bytes(entry.text or b"").decode(errors="replace")
    outcome = " ".join(filter(None, (entry.outcome, text)))
    line = (
        f"{moment:%Y-%m-%d %H:%M:%S}  {entry.channel:<20} {entry.step:<9} {entry.command:<16} "
        f"{entry.who:<12} {where}{attempt}  {outcome}"
    )
    click.echo(printable(line.rstrip()))
