"""Every code that a close or an error carries, as one table.

The rule that clients follow without knowing the rows: 4400 to 4499 are not worth a reconnect with
the same request, 4500 to 4599 are, with full jitter and a resume. Of the codes that RFC 6455
section 7.4 and the IANA registry give, 1001, 1006, 1011, 1012 and 1013 mean reconnect and resume.
"""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """One row: what a close frame or an error reply says, and what a client should do."""

    number: int
    name: str
    meaning: str
    reconnect: bool


NORMAL = Code(1000, "normal", "The client ended the connection, or the hub after it.", False)
GOING_AWAY = Code(1001, "going_away", "The hub ends; another replica takes over.", True)
PROTOCOL_BREACH = Code(1002, "protocol_breach", "A frame breaks RFC 6455.", False)
UNSUPPORTED = Code(1003, "unsupported", "A binary message; this protocol is text only.", False)
ABNORMAL = Code(1006, "abnormal", "The link broke without a close frame; never sent.", True)
BAD_TEXT = Code(1007, "bad_text", "A text message that is not UTF-8.", False)
TOO_BIG = Code(1009, "too_big", "A message larger than the hub's frame bound.", False)
INTERNAL = Code(1011, "internal", "The hub failed on this connection.", True)
RESTART = Code(1012, "restart", "The hub restarts or is drained.", True)
TRY_LATER = Code(1013, "try_later", "The hub holds as many connections as it may.", True)

BAD_REQUEST = Code(4400, "bad_request", "Not a command, or with parameters that cannot be.", False)
UNAUTHORIZED = Code(4401, "unauthorized", "The token is missing, refused or at its end.", False)
FORBIDDEN = Code(4403, "forbidden", "The token, or the page's origin, lacks the right.", False)
NOT_FOUND = Code(4404, "not_found", "No such method, channel or path.", False)
AUTH_TIMEOUT = Code(4408, "auth_timeout", "No token came before the deadline.", False)
KIND_MISMATCH = Code(4409, "kind_mismatch", "The channel was recorded as another kind.", False)
TOO_LARGE = Code(4413, "too_large", "The data is larger than may be published.", False)
INVALID_DATA = Code(4422, "invalid_data", "The data must not be published as it is.", False)
TOO_MANY = Code(4429, "too_many", "More than this connection may have.", False)
FAILED = Code(4500, "failed", "The hub could not answer; the request may be sent again.", True)
UNAVAILABLE = Code(4503, "unavailable", "The broker is out of reach just now.", True)
TOO_SLOW = Code(4508, "too_slow", "More waited for the client than its outbox holds.", True)

TABLE: tuple[Code, ...] = (
    NORMAL,
    GOING_AWAY,
    PROTOCOL_BREACH,
    UNSUPPORTED,
    ABNORMAL,
    BAD_TEXT,
    TOO_BIG,
    INTERNAL,
    RESTART,
    TRY_LATER,
    BAD_REQUEST,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    AUTH_TIMEOUT,
    KIND_MISMATCH,
    TOO_LARGE,
    INVALID_DATA,
    TOO_MANY,
    FAILED,
    UNAVAILABLE,
    TOO_SLOW,
)

_RECONNECT = {code.number: code.reconnect for code in TABLE}


def should_reconnect(number: int) -> bool:
    """Whether a client reconnects unchanged after a close with this number.

    Numbers without a row follow their range, so that old clients obey codes to come.
    """
    known = _RECONNECT.get(number)
    return 4500 <= number <= 4599 if known is None else known
