"""What a client raises.

ClientError
├── Closed            the client was closed while something waited for an answer
└── Refused           the hub said no, and that asking again unchanged is of no use
    ├── Unauthorized  no token, one that is refused, or one at its end
    └── Forbidden     the token lacks the right

What ends a connection and not the request (a link that broke, a hub that restarts) is never
raised: the client reconnects and resumes.
"""

from __future__ import annotations

from hub.protocol import codes


class ClientError(Exception):
    """The root of what a client raises."""


class Closed(ClientError):
    """The client was closed while this waited for an answer; a publish may have happened."""


class Refused(ClientError):
    """The hub refused for good; `code` is the number from `hub.protocol.codes`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})" if message else f"refused ({code})")
        self.code = code
        self.message = message


class Unauthorized(Refused):
    """The token is missing, refused or at its end."""


class Forbidden(Refused):
    """The token, or the page's origin, lacks the right."""


_TYPES = {
    codes.UNAUTHORIZED.number: Unauthorized,
    codes.AUTH_TIMEOUT.number: Unauthorized,
    codes.FORBIDDEN.number: Forbidden,
}


def refused(code: int, message: str) -> Refused:
    """The error for a refusal with this number."""
    return _TYPES.get(code, Refused)(code, message)
