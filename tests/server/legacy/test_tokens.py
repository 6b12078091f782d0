"""Where old dashboards show their token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.server.legacy.tokens import offered_token, shown, take_entry, take_token
from tests.support.upgrade_requests import changes, head

OFFERS = ("Sec-WebSocket-Protocol",)


@pytest.mark.parametrize(
    ("query", "rest", "token"),
    [
        ("", "", None),
        ("x=1", "x=1", None),
        ("a=b%20c&y", "a=b%20c&y", None),
        ("token=t", "", "t"),
        ("x=1&token=a.b-c_d&y=2", "x=1&y=2", "a.b-c_d"),
        ("%74oken=t", "", "t"),
        ("token=", "", ""),
        ("token", "", ""),
        ("token=a&token=b", "", ""),
        ("tokens=t&TOKEN=t", "tokens=t&TOKEN=t", None),
    ],
)
def test_a_token_is_taken_out_of_the_query(query: str, rest: str, token: str | None) -> None:
    """However it is spelled; of two none counts, and neither stays."""
    assert take_token(query) == (rest, token)


@pytest.mark.parametrize(
    ("offered", "token"),
    [
        ((), None),
        (("bearer", "t"), "t"),
        (("Bearer", "t"), "t"),
        (("other", "bearer", "t"), "t"),
        (("bearer t",), "t"),
        (("Bearer  t", "other"), "t"),
        (("bearer",), None),
        (("t", "bearer"), None),
        (("bearer.t",), None),
    ],
)
def test_a_token_follows_bearer(offered: tuple[str, ...], token: str | None) -> None:
    """As the next entry, or within the same."""
    assert offered_token(offered) == token


def test_an_entry_with_a_space_is_taken_out_of_the_head() -> None:
    """The rest is judged as any request; the token is kept apart."""
    for value in ("bearer a.b-c", "Bearer\ta.b-c", "  BEARER   a.b-c \t"):
        request = head({"Sec-WebSocket-Protocol": value})
        rest, entry = take_entry(request)
        assert rest == head()
        assert entry is not None
        assert offered_token((entry,)) == "a.b-c"


@pytest.mark.parametrize(
    "value", ["bearer a, b", "bearer a b", "bearer", "bearer,a", "x bearer a", "bearer \xe4"]
)
def test_nothing_else_is_taken_out(value: str) -> None:
    """What is more than one such entry is for the handshake to judge."""
    request = head({"Sec-WebSocket-Protocol": value})
    assert take_entry(request) == (request, None)


@given(changes, st.sampled_from(["bearer t", "Bearer  a.b-c_d"]))
def test_the_rest_is_the_request_without_it(changed: dict[str, str | None], entry: str) -> None:
    """Whatever else is right or wrong with the request stays so, byte by byte."""
    changed = {name: value for name, value in changed.items() if name not in OFFERS}
    request = head({**changed, "Sec-WebSocket-Protocol": entry})
    assert take_entry(request) == (head(changed), entry)


def test_which_of_several_counts() -> None:
    """The header, then the URL where it may, then the sub-protocol."""
    offered = ("bearer", "c")
    assert shown("Bearer a", "b", offered, url_counts=True).token == "a"
    assert shown("Basic x", "b", offered, url_counts=True).token == ""
    assert shown(None, "b", offered, url_counts=True).token == "b"
    assert shown(None, "b", offered, url_counts=False).token == "c"
    refused = shown(None, "b", url_counts=False)
    assert refused.token is None
    assert "TAPECAST_LEGACY_QUERY_TOKEN" in refused.reason
    assert "expected a token" in shown(None, None, url_counts=True).reason
