"""`tapecast command`: tell an agent what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from hub.cli.target import Target, find_target
from hub.cli.values import AGENT, DURATION, EVENT

if TYPE_CHECKING:
    from hub.client import Client, Published

ANSWER_SECONDS = 15.0
"""How long a hub is waited for; it is less where the command expires sooner."""

FAILED, EXPIRED, UNKNOWN = 1, 3, 4
"""Exit statuses: not done; not begun in time; not known."""


@click.command(short_help="Tell an agent what to do.")
@click.argument("event", type=EVENT, metavar="COMMAND")
@click.argument("data", metavar="[JSON]", default="{}")
@click.option("--agent", type=AGENT, metavar="NAME", help="Which; else the one without a name.")
@click.option("--wait", is_flag=True, help="Wait for its end, and say it by the exit status.")
@click.option(
    "--timeout",
    type=DURATION,
    default="2m",
    show_default=True,
    help="How long to wait: 30s, 15m, 12h, 7d.",
)
@click.option(
    "--expires",
    type=DURATION,
    default="30s",
    show_default=True,
    help="No agent begins it later: 1s to 1d.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each step as JSON, one a line.")
@click.option("--url", metavar="URL", help="The hub; otherwise TAPECAST_URL, or a running demo.")
def command(
    event: str,
    data: str,
    agent: str | None,
    wait: bool,
    timeout: int,
    expires: int,
    as_json: bool,
    url: str | None,
) -> None:
    """Send COMMAND to an agent, with JSON as its data, and print its id.

    Known to every agent are agent.start, agent.pause, agent.resume, agent.stop, emergency.stop,
    position.close with {"id": ID}, and config.set with the settings to change. Others are the
    agent's own. It needs a token in TAPECAST_TOKEN that may command the agent.

    With --wait, its result is printed in place of its id, each step goes to standard error, and
    the exit status says the end: 0 done, 1 failed or refused, 3 expired, so that it was never
    begun, 4 not known in time.

    \b
    Examples:
      tapecast command agent.pause --agent desk-7 --wait
      tapecast command position.close '{"id": "p-17"}' --agent desk-7 --expires 5s --wait
      tapecast command emergency.stop --agent desk-7 --wait || page-somebody
      tapecast command config.set '{"min_confidence": 70}'
    """
    from hub.client import ClientError
    from hub.protocol.agent_commands import MAX_EXPIRY_MS, command_request
    from hub.protocol.errors import ProtocolError

    if 1000 * expires > MAX_EXPIRY_MS:
        raise click.BadParameter(f"expected at most 1d, got {expires}s", param_hint="--expires")
    try:
        # As the hub will: what is wrong is said before anybody is asked.
        checked = command_request(
            channel="commands", id="x", event=event, data=data.encode(), sender="x", origin=""
        )
    except ProtocolError as error:
        raise click.BadParameter(error.message, param_hint="JSON") from None
    target = find_target(url, os.environ)
    sending = _Sending(target, agent, event, checked.data, 1000 * expires, as_json=as_json)
    try:
        sys.exit(asyncio.run(sending.run(timeout if wait else None)))
    except ClientError as error:
        raise click.ClickException(str(error)) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


class _Sending:
    """One command, from the hub's answer to its end."""

    def __init__(
        self,
        target: Target,
        agent: str | None,
        event: str,
        data: bytes,
        expires_in_ms: int,
        *,
        as_json: bool,
    ) -> None:
        from hub.protocol.agent_commands import agent_channel

        self._target = target
        self._channel = agent_channel(agent)
        self._event = event
        self._data = data
        self._expires_in_ms = expires_in_ms
        self._as_json = as_json

    async def run(self, timeout: int | None) -> int:
        """Send it, and with a timeout wait for its end; returns the exit status."""
        from hub.client import Client

        async with Client(self._target.url, self._target.token) as client:
            sent = await self._send(client)
            if sent is None:
                return UNKNOWN
            if self._as_json:
                self._print("sent", {"id": sent.command, "event": self._event})
            elif timeout is None:
                click.echo(sent.command)
            if timeout is None:
                return 0
            self._tell(f"{self._event} sent to {self._channel} as {sent.command}")
            try:
                async with asyncio.timeout(timeout):
                    return await self._follow(client, sent)
            except TimeoutError:
                message = f"its end is not known after {timeout} s: tapecast audit will have it"
                click.echo(f"Error: {message}", err=True)
                return UNKNOWN

    async def _send(self, client: Client) -> Published | None:
        import msgspec

        # After that it would be told that it came too late.
        seconds = min(ANSWER_SECONDS, self._expires_in_ms / 1000)
        try:
            async with asyncio.timeout(seconds):
                return await client.publish(
                    self._channel,
                    self._event,
                    msgspec.Raw(self._data),
                    expires_in_ms=self._expires_in_ms,
                )
        except TimeoutError:
            click.echo(
                f"Error: no answer from a hub at {self._target.url} in {seconds:g} s. The command "
                "may have reached the agent all the same: tapecast audit would have it.",
                err=True,
            )
            return None

    async def _follow(self, client: Client, sent: Published) -> int:
        from hub.client import Snapshot, StateChanged, Update

        async for frame in client.subscribe(self._channel, since=sent.position):
            if isinstance(frame, StateChanged):
                listens = frame.state == "live"
                self._tell(f"the agent {'listens' if listens else 'does not listen just now'}")
            elif isinstance(frame, Update):
                status = self._step(sent, frame.event, frame.data)
                if status is not None:
                    return status
            elif isinstance(frame, Snapshot):
                # The history was lost, or is longer than is kept: what is left of it.
                for entry in frame.data["entries"]:
                    status = self._step(sent, entry["event"], entry["data"])
                    if status is not None:
                        return status
        raise AssertionError("a subscription ends by an error alone")

    def _step(self, sent: Published, event: str, data: dict[str, Any]) -> int | None:
        """Show a step of this command; returns the exit status where it is the end."""
        import json

        from hub.cli.lines import printable
        from hub.protocol.agent_commands import STEP_PREFIX

        if data.get("id") != sent.command or event == self._event:
            return None
        step = event.removeprefix(STEP_PREFIX)
        if self._as_json:
            self._print(step, data)
        match step:
            case "accepted":
                self._tell(f"accepted by {printable(str(data['worker']))}")
                return None
            case "done":
                if not self._as_json:
                    result = data["result"]
                    click.echo("done" if result is None else json.dumps(result))
                return 0
            case "failed":
                click.echo(f"Error: failed: {printable(str(data['reason']))}", err=True)
                return FAILED
            case "expired":
                click.echo("Error: expired: no worker of the agent accepted it in time", err=True)
                return EXPIRED
        return None

    def _print(self, step: str, data: dict[str, Any]) -> None:
        import json

        click.echo(json.dumps({"step": step, "channel": self._channel, **data}))

    def _tell(self, line: str) -> None:
        if not self._as_json:
            click.echo(line, err=True)
