"""Requests to open a WebSocket: a right one, and those that differ from it a little."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

OURS = "tapecast.v1"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3, as is its answer
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
OFFER = "permessage-deflate; client_max_window_bits"  # as Chromium makes it

HEADERS = {
    "Host": "hub.example:8000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def head(
    changes: dict[str, str | None] | None = None,
    *,
    extra: Iterable[tuple[str, str]] = (),
    line: str = "GET /ws HTTP/1.1",
) -> bytes:
    """Return a right request's head, with headers changed, removed (None) or added."""
    headers = {**HEADERS, **(changes or {})}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def values(*right: str) -> st.SearchStrategy[str]:
    """Header values: right ones mostly, else anything that a header can hold."""
    wild = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=12)
    return st.sampled_from([*right] * 4) | wild


sides = st.sampled_from(["server", "client"])
parameters = (
    st.builds("{}_no_context_takeover".format, sides)
    | st.builds("{}_max_window_bits={}".format, sides, st.integers(7, 16))
    | st.sampled_from(["client_max_window_bits", "x"])
)
extensions = st.lists(
    st.lists(parameters, max_size=3).map(lambda given: "; ".join(["permessage-deflate", *given])),
    min_size=1,
    max_size=3,
).map(", ".join)

VARIABLE = {
    "Upgrade": values("websocket", "WebSocket", "websocket, websocket", "h2c"),
    "Connection": values("Upgrade", "keep-alive, upgrade", ",Upgrade ,", "close"),
    "Sec-WebSocket-Key": values(
        KEY, "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAB==", "AAAA"
    ),
    "Sec-WebSocket-Version": values("13", "8", "13 "),
    "Sec-WebSocket-Protocol": values(OURS, f"{OURS}, bearer.x", f", {OURS}", "other"),
    "Sec-WebSocket-Extensions": values(OFFER, "x-other, permessage-deflate") | extensions,
    "Authorization": values("Bearer x"),
    "Origin": values("https://desk.example", "null"),
    "Cookie": values("tapecast=x.y-z", "tapecast-8000=x; other=1"),
    "X-Any": values("x"),
    "Content-Length": values("0"),
}

# Few changes at a time, so that most requests get far.
changes = st.lists(st.sampled_from(sorted(VARIABLE)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: VARIABLE[name] for name in names})
)
lines = st.sampled_from(
    ["GET /ws HTTP/1.1"] * 9
    + ["GET /ws?token=x HTTP/1.1", "PUT /ws HTTP/1.1", "GET /ws HTTP/1.0", "GET /ws"]
)
twice: st.SearchStrategy[list[tuple[str, str]]] = st.just([]) | st.lists(
    st.sampled_from(sorted(HEADERS.items())), max_size=1
)
heads = st.builds(
    lambda changed, extra, line: head(changed, extra=extra, line=line), changes, twice, lines
)
"""Heads of requests."""
