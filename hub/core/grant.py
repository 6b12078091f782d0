"""What a token allows."""

from __future__ import annotations

import msgspec

from hub.protocol.channels import matches


class Grant(msgspec.Struct, frozen=True):
    """The rights of one connection or request.

    read, publish: channel patterns; none allow nothing.
    expires_at: Unix seconds, or None for a key that does not end by itself.
    key_id: of the API key that gave it, "" for a token: a key may be revoked at any time.
    """

    subject: str
    read: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    expires_at: float | None = None
    key_id: str = ""

    def may_read(self, channel: str) -> bool:
        return any(matches(pattern, channel) for pattern in self.read)

    def may_publish(self, channel: str) -> bool:
        return any(matches(pattern, channel) for pattern in self.publish)
