"""What a token allows."""

from __future__ import annotations

import msgspec

from hub.protocol.channels import matches


class Grant(msgspec.Struct, frozen=True):
    """The rights of one connection or request.

    read, publish: channel patterns; none allow nothing.
    expires_at: Unix seconds, or None for a key that does not end by itself.
    """

    subject: str
    read: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    expires_at: float | None = None

    def may_read(self, channel: str) -> bool:
        return any(matches(pattern, channel) for pattern in self.read)

    def may_publish(self, channel: str) -> bool:
        return any(matches(pattern, channel) for pattern in self.publish)
