"""What can be said of rules and sinks without running them, and whether the sinks work."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping

import click

from producers.errors import SinkError
from producers.events import Alert, Severity
from producers.sources.alerts.rules import AnyRule
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions
from producers.sources.alerts.sinks.kinds import kind_of


def check_sinks_exist(rules: Mapping[str, AnyRule], sinks: Mapping[str, SinkOptions]) -> None:
    """Raises ValueError for a rule that names a sink that is not there."""
    for name, rule in rules.items():
        for sink in rule.sinks or ():
            if sink not in sinks:
                known = ", ".join(sinks) or "none"
                raise ValueError(f"rules.{name}: sinks: expected names of {known}, got {sink!r}")


def described(rules: Mapping[str, AnyRule], sinks: Mapping[str, SinkOptions]) -> str:
    """A line for each rule and each sink."""
    return "\n".join([*_rule_lines(rules, sinks), *_sink_lines(sinks)])


def _rule_lines(rules: Mapping[str, AnyRule], sinks: Mapping[str, SinkOptions]) -> Iterator[str]:
    for name, rule in rules.items():
        said = [f"{rule.channel}: {rule.said}"]
        clear = rule.condition.clear
        if clear is not None and clear != rule.condition.limit:
            said.append(f"over at {clear}")
        for words, seconds in (
            ("for {} s", rule.for_seconds),
            ("not again within {} s", rule.quiet_seconds),
            ("again every {} s", rule.repeat_seconds),
        ):
            if seconds:
                said.append(words.format(f"{seconds:g}"))
        targets = ", ".join(sinks if rule.sinks is None else rule.sinks) or "no sink"
        yield f"rule {name} ({rule.severity}): {', '.join(said)}; to {targets}"


def _sink_lines(sinks: Mapping[str, SinkOptions]) -> Iterator[str]:
    for name, options in sinks.items():
        yield f"sink {name}: {kind_of(options)}, {options.severity} and above"


async def test_sinks(sinks: Mapping[str, Sink], options: Mapping[str, SinkOptions]) -> bool:
    """Deliver a test to each and say what became of it; whether one failed."""
    failed = False
    for name, sink in sinks.items():
        seconds = options[name].timeout_seconds
        alert = Alert(severity=Severity.INFO, title="A test of Tapecast's alerts", detail=name)
        notice = Notice(f"test-{secrets.token_hex(8)}", "alerts", alert, time.time_ns() // 1000)
        try:
            async with asyncio.timeout(seconds):
                await sink.deliver(notice)
        except TimeoutError:
            failed = True
            click.echo(f"{name}: failed: no answer within {seconds:g} s", err=True)
        except SinkError as error:
            failed = True
            click.echo(f"{name}: failed: {error}", err=True)
        else:
            click.echo(f"{name}: delivered")
        await sink.close()
    return failed
