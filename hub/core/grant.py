"""What a token allows."""

from __future__ import annotations

import msgspec

from hub.protocol.agent_commands import is_commands
from hub.protocol.channels import matches


class Grant(msgspec.Struct, frozen=True):
    """The rights of one connection or request.

    read, publish, command: channel patterns; none allow nothing.
    expires_at: Unix seconds, or None for a key that does not end by itself.
    key_id: of the API key that gave it, "" for a token: a key may be revoked at any time.
    """

    subject: str
    read: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    expires_at: float | None = None
    key_id: str = ""
    command: tuple[str, ...] = ()

    def may_read(self, channel: str) -> bool:
        """Who may command an agent may hear what becomes of its commands."""
        return any(matches(pattern, channel) for pattern in self.read) or self.may_command(channel)

    def may_publish(self, channel: str) -> bool:
        """Never where commands travel: `*` there would make every publisher a commander."""
        return any(matches(pattern, channel) for pattern in self.publish) and not is_commands(
            channel
        )

    def may_command(self, channel: str) -> bool:
        """Whether it may send commands to the agent of this channel."""
        return is_commands(channel) and any(matches(pattern, channel) for pattern in self.command)
