"""How old dashboards show their token: in the header, in the URL, or as a sub-protocol.

Rules:
1. The header wins, then the URL, then the sub-protocol.
2. The URL shows `?token=` once. It counts only where the operator said so, since URLs end in logs;
   our own take it out before anybody logs it (`hub.server.legacy.query`).
3. A sub-protocol shows it after `bearer`: as the entry that follows, which is how a browser can do
   it, or in the same entry, `bearer <token>`, which is none by RFC 6455.
4. The answer to two entries is `bearer`, as a browser wants one of those that it offered; the token
   is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from hub.server.identity import shown_token

PARAMETER: Final = "token"
SUBPROTOCOLS: Final = ("bearer", "Bearer")
"""What is answered, as it was offered."""

_ENTRY = re.compile(
    rb"^Sec-WebSocket-Protocol:[ \t]*(bearer[ \t]+[!-+\--~]+)[ \t]*\r\n",
    re.IGNORECASE | re.MULTILINE,
)


class Shown(NamedTuple):
    """A token, None where there is none that counts, and why not."""

    token: str | None
    reason: str = ""


def shown(
    authorization: str | None,
    in_url: str | None,
    offered: Sequence[str] = (),
    *,
    url_counts: bool,
) -> Shown:
    """The token that a request shows. in_url: what its query says; see `take_token`."""
    token = shown_token(authorization)
    if token is not None:
        return Shown(token)
    if in_url is not None and url_counts:
        return Shown(in_url)
    token = offered_token(offered)
    if token is not None:
        return Shown(token)
    if in_url is not None:
        return Shown(None, "a token in the URL counts only with TAPECAST_LEGACY_QUERY_TOKEN=true")
    return Shown(None, "expected a token: in the header Authorization, or as a sub-protocol")


def take_token(query: str) -> tuple[str, str | None]:
    """The query without its tokens, and the token; "" where there are several, which none takes."""
    pairs = parse_qsl(query, keep_blank_values=True)
    found = [value for name, value in pairs if name == PARAMETER]
    rest = urlencode([pair for pair in pairs if pair[0] != PARAMETER])
    if not found:
        return query, None
    return rest, found[0] if len(found) == 1 else ""


def take_entry(head: bytes) -> tuple[bytes, str | None]:
    """The head of an upgrade request without a header whose one entry is `bearer <token>`, which no
    parser takes, and that entry."""
    found = _ENTRY.search(head)
    if found is None:
        return head, None
    return head[: found.start()] + head[found.end() :], found[1].decode()


def offered_token(offered: Sequence[str]) -> str | None:
    """The token among the sub-protocols that a client offers."""
    words = [word for entry in offered for word in entry.split()]
    for scheme, token in pairwise(words):
        if scheme.lower() == "bearer":
            return token
    return None
