"""What a request shows of who sends it: a token, and the page that it comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hub.protocol.frames import TOKEN_SUBPROTOCOL_PREFIX


def shown_token(authorization: str | None, offered: Iterable[str] = ()) -> str | None:
    """The token of `Authorization: Bearer ...` (RFC 6750 section 2.1), or of the sub-protocol
    `bearer.<token>`, which is how a browser can show one; None where there is neither.

    Another scheme shows "", which no authenticator takes.
    """
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    for name in offered:
        if name.startswith(TOKEN_SUBPROTOCOL_PREFIX):
            return name[len(TOKEN_SUBPROTOCOL_PREFIX) :]
    return None


def origin_allowed(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    """Whether a page of `origin` may use the hub that is addressed as `host` (RFC 6454 section 7).

    A program that is no browser sends none and may. The hub's own pages always may; whether they
    came over TLS is not known behind a proxy, so either scheme counts.
    """
    if origin is None:
        return True
    origin = origin.lower()
    own = host.lower()
    return origin in allowed or origin in (f"http://{own}", f"https://{own}")
