"""The opening handshake, by RFC 6455 section 4.2, and held against `websockets`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from random import Random

import pytest
from hypothesis import Phase, example, find, given, settings
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import ExtensionParameter
from websockets.uri import parse_uri
from websockets.utils import accept_key

from hub.server import handshake
from hub.server.deflate import WINDOW_BITS, negotiate
from hub.server.handshake import (
    MAX_BYTES,
    Accepted,
    Rejected,
    open_handshake,
    reject,
)
from hub.server.upgrade import UpgradeRequest
from tests.support.upgrade_requests import ACCEPT, HEADERS, KEY, OFFER, OURS, head, heads


def allow_all(_: UpgradeRequest) -> bool:
    return True


def open_all(data: bytes, *, compression: bool = False) -> Accepted | Rejected:
    """Answer a request as a hub that allows every origin."""
    return open_handshake(
        data, subprotocols=[OURS], origin_allowed=allow_all, compression=compression
    )


def accept(data: bytes) -> Accepted:
    """Answer a request that must be accepted."""
    outcome = open_all(data)
    assert isinstance(outcome, Accepted)
    return outcome


def refuse(data: bytes) -> tuple[Rejected, Response]:
    """Answer a request that must be refused, and read the answer as a client does."""
    outcome = open_all(data)
    assert isinstance(outcome, Rejected)
    response = read_response(outcome.response)
    assert response.status_code == outcome.status
    assert response.headers["Connection"] == "close"
    assert bytes(response.body) == f"{outcome.reason}\n".encode()
    return outcome, response


def read_response(data: bytes) -> Response:
    """Parse a whole HTTP response."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        next(Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof))
    except StopIteration as parsed:
        assert not reader.buffer
        response: Response = parsed.value
        return response
    raise AssertionError("the response is not whole")


# Accepted


def test_a_right_request_is_accepted_with_the_key_of_the_rfc() -> None:
    """The RFC's own example is answered with the RFC's own answer, and no extension."""
    outcome = accept(head({"Sec-WebSocket-Extensions": "permessage-deflate"}))
    assert outcome.subprotocol is None
    assert outcome.response == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n"
    )


@pytest.mark.parametrize("extra", [[], [("X-Trace", "1"), ("X-Trace", "2")]])
def test_the_request_is_handed_over_as_the_client_made_it(extra: list[tuple[str, str]]) -> None:
    """Path, query, the headers that count and the offered sub-protocols are there for the caller's
    rules, from a plain request and from one that has to be looked at."""
    request = accept(
        head(
            {"Origin": "https://desk.example", "Sec-WebSocket-Protocol": f"{OURS}, bearer.a.b-c_d"},
            extra=[("Authorization", "Bearer t"), *extra],
            line="GET /ws%20x?a=1?b HTTP/1.1",
        )
    ).request
    assert (request.path, request.query) == ("/ws%20x", "a=1?b")
    assert request.origin == "https://desk.example"
    assert request.offered == (OURS, "bearer.a.b-c_d")
    assert request.authorization == "Bearer t"
    assert request.host == "hub.example:8000"


def test_a_client_of_websockets_opens_its_connection() -> None:
    """The answer satisfies a client that checks it by the RFC."""
    client = ClientProtocol(parse_uri("ws://hub.example/ws"), subprotocols=[OURS])  # type: ignore[list-item]
    client.send_request(client.connect())
    outcome = accept(b"".join(client.data_to_send()))
    client.receive_data(outcome.response)
    assert client.state is OPEN
    assert client.subprotocol == OURS


def test_header_names_and_upgrade_tokens_ignore_case() -> None:
    """Proxies rewrite the case of names and tokens; both mean the same."""
    outcome = accept(
        b"GET /ws HTTP/1.1\r\nhost: h\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
        b"sec-websocket-key: " + KEY.encode() + b"\r\nsec-websocket-version: 13\r\n\r\n"
    )
    assert outcome.request.origin is None


# Sub-protocols


@pytest.mark.parametrize("offered", [OURS, f"{OURS}, bearer.x", f"bearer.x,{OURS}", f"a, {OURS}"])
def test_our_subprotocol_is_answered_wherever_it_is_offered(offered: str) -> None:
    """The answer names our sub-protocol alone, never the token that travels beside it."""
    outcome = accept(head({"Sec-WebSocket-Protocol": offered}))
    assert outcome.subprotocol == OURS
    answer = f"\r\nSec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: {OURS}\r\n\r\n"
    assert outcome.response.endswith(answer.encode())


def test_subprotocols_in_two_headers_are_one_offer() -> None:
    """A list of sub-protocols may be split over several headers."""
    split = [("Sec-WebSocket-Protocol", "bearer.x"), ("Sec-WebSocket-Protocol", OURS)]
    outcome = accept(head(extra=split))
    assert outcome.request.offered == ("bearer.x", OURS)
    assert outcome.subprotocol == OURS


def test_the_hub_prefers_its_own_order() -> None:
    """Of several in common, the one that the hub names first is answered."""
    outcome = open_handshake(
        head({"Sec-WebSocket-Protocol": "v1, v2"}),
        subprotocols=["v2", "v1"],
        origin_allowed=allow_all,
    )
    assert isinstance(outcome, Accepted)
    assert outcome.subprotocol == "v2"


@pytest.mark.parametrize("offered", ["graphql-ws", "bearer.x", "tapecast.v2, TAPECAST.V1"])
def test_a_client_that_offers_only_unknown_subprotocols_is_refused(offered: str) -> None:
    """The refusal says what was expected, and does not repeat what may be a token."""
    outcome, _ = refuse(head({"Sec-WebSocket-Protocol": offered}))
    assert outcome.status == HTTPStatus.BAD_REQUEST
    assert outcome.reason == f"no known sub-protocol offered; expected {OURS}"


@pytest.mark.parametrize("offered", ["", "tapecast.v1, bearer.\xff", "tapecast.v1; a", "bearer.(x"])
def test_an_offer_that_is_no_list_of_tokens_is_refused(offered: str) -> None:
    """Bytes that a token can't have are refused, and not repeated in the reason."""
    outcome, _ = refuse(head({"Sec-WebSocket-Protocol": offered}))
    assert outcome.status == HTTPStatus.BAD_REQUEST
    assert outcome.reason == "Sec-WebSocket-Protocol header malformed, or more than one"


# Compression


def test_compression_is_agreed_to_where_it_is_wanted() -> None:
    """The answer is that of hub.server.deflate, and stands in the last header."""
    outcome = open_all(head({"Sec-WebSocket-Extensions": OFFER}), compression=True)
    assert isinstance(outcome, Accepted)
    assert outcome.compresses
    answer = negotiate([OFFER])
    assert outcome.response.endswith(f"\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n".encode())


def test_offers_in_two_headers_are_one_list() -> None:
    """The first that suits is answered, wherever it stands."""
    split = [("Sec-WebSocket-Extensions", "x-other"), ("Sec-WebSocket-Extensions", OFFER)]
    outcome = open_all(head(extra=split), compression=True)
    assert isinstance(outcome, Accepted)
    assert outcome.compresses


@pytest.mark.parametrize("offer", [None, "x-other", "permessage-deflate; unknown"])
def test_without_an_offer_that_suits_nothing_is_compressed(offer: str | None) -> None:
    """The connection opens all the same, and the answer says nothing of extensions."""
    outcome = open_all(head({"Sec-WebSocket-Extensions": offer}), compression=True)
    assert isinstance(outcome, Accepted)
    assert not outcome.compresses
    assert b"Extensions" not in outcome.response


def test_what_is_no_list_of_extensions_is_refused() -> None:
    """RFC 6455 section 9.1; a hub that compresses nothing does not look at it."""
    data = head({"Sec-WebSocket-Extensions": "permessage-deflate; ="})
    outcome = open_all(data, compression=True)
    assert isinstance(outcome, Rejected)
    assert outcome.status == HTTPStatus.BAD_REQUEST
    assert outcome.reason == "Sec-WebSocket-Extensions header malformed, or more than one"
    assert isinstance(open_all(data), Accepted)


# Origin


def test_a_refused_origin_is_forbidden() -> None:
    """The caller judges the whole request, since its own origin is found in Host."""

    def own_host(request: UpgradeRequest) -> bool:
        return request.origin == f"https://{request.host}"

    def outcome_for(origin: str) -> Accepted | Rejected:
        data = head({"Origin": origin})
        return open_handshake(data, subprotocols=[OURS], origin_allowed=own_host)

    assert isinstance(outcome_for("https://hub.example:8000"), Accepted)
    refused = outcome_for("https://evil.example")
    assert isinstance(refused, Rejected)
    assert refused.status == HTTPStatus.FORBIDDEN
    assert refused.reason == "origin 'https://evil.example' is not allowed"


# Refused by RFC 6455 section 4.2.1, and by HTTP


@pytest.mark.parametrize("version", ["8", "0", "14", "13, 8", "thirteen"])
def test_another_version_is_answered_with_the_one_that_is_spoken(version: str) -> None:
    """A client of another version learns which one to try."""
    outcome, response = refuse(head({"Sec-WebSocket-Version": version}))
    assert outcome.status == HTTPStatus.UPGRADE_REQUIRED
    assert response.headers["Sec-WebSocket-Version"] == "13"


@pytest.mark.parametrize("name", ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_a_missing_header_is_named(name: str) -> None:
    """The refusal says which header is missing."""
    outcome, _ = refuse(head({name: None}))
    assert (outcome.status, outcome.reason) == (HTTPStatus.BAD_REQUEST, f"{name} header missing")


@pytest.mark.parametrize(
    "name", ["Host", "Origin", "Authorization", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]
)
def test_a_header_that_must_be_single_is_refused_twice(name: str) -> None:
    """Two values, even equal ones, leave open which counts."""
    value = HEADERS.get(name, "x")
    outcome, _ = refuse(head({name: None}, extra=[(name, value), (name, value)]))
    assert outcome.status == HTTPStatus.BAD_REQUEST
    assert outcome.reason == f"{name} header malformed, or more than one"


@pytest.mark.parametrize("key", ["", "short", KEY + "AAAA", KEY[:-1], "!" * 24, "\xff" * 24])
def test_a_key_that_is_not_16_bytes_in_base64_is_refused(key: str) -> None:
    """A nonce of another form is no nonce."""
    outcome, _ = refuse(head({"Sec-WebSocket-Key": key}))
    assert outcome.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Upgrade": "websocket, h2c"},
        {"Connection": None},
        {"Connection": "keep-alive"},
    ],
)
def test_a_request_for_anything_but_a_websocket_is_told_to_upgrade(
    changes: dict[str, str | None],
) -> None:
    """Somebody who opens the address in a browser reads what is expected there."""
    outcome, response = refuse(head(changes))
    assert outcome.status == HTTPStatus.UPGRADE_REQUIRED
    assert response.headers["Upgrade"] == "websocket"


def test_another_method_is_told_to_use_get() -> None:
    """A WebSocket is opened with GET, and with nothing else."""
    outcome, response = refuse(head(line="POST /ws HTTP/1.1"))
    assert outcome.status == HTTPStatus.METHOD_NOT_ALLOWED
    assert response.headers["Allow"] == "GET"


def test_http_1_0_is_refused() -> None:
    """A WebSocket needs HTTP/1.1."""
    outcome, _ = refuse(head(line="GET /ws HTTP/1.0"))
    assert outcome.status == HTTPStatus.HTTP_VERSION_NOT_SUPPORTED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"GET /ws HTTP/1.1",
        head()[:-2],
        head().replace(b"\r\n", b"\n"),
        head() + b"\x81\x80\0\0\0\0",
        head(line="GET /ws"),
        head(line="GET /ws HTTP/2"),
        head(line="GET /w\xf6 HTTP/1.1"),
        head(extra=[("bad name", "x")]),
        head(extra=[("X-Nul", "a\0b")]),
        head(extra=[("Content-Length", "5")]),
        head(extra=[("Transfer-Encoding", "chunked")]),
    ],
)
def test_what_is_no_request_is_answered_nevertheless(data: bytes) -> None:
    """A malformed request, one with a body or with bytes after it, gets a 400 and no exception."""
    outcome, _ = refuse(data)
    assert outcome.status == HTTPStatus.BAD_REQUEST


# Bounds


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head(line=f"GET /{'x' * 9000} HTTP/1.1"), HTTPStatus.REQUEST_URI_TOO_LONG),
        (head({"X-Long": "x" * 9000}), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (head(extra=[("X", "y")] * 130), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (
            head(extra=[("X", "y" * 8000)] * (MAX_BYTES // 8000 + 1)),
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
    ],
    ids=["path", "header", "headers", "sum"],
)
def test_a_head_over_a_bound_is_refused(data: bytes, status: HTTPStatus) -> None:
    """A line, the number of headers and their sum are bounded."""
    outcome, _ = refuse(data)
    assert outcome.status == status


# The caller's own refusals


def test_a_caller_refuses_with_headers_of_its_own() -> None:
    """What the caller decides (a path, a limit) is answered in the same form."""
    rejected = reject(HTTPStatus.SERVICE_UNAVAILABLE, "größer", [("Retry-After", "5")])
    response = read_response(rejected.response)
    assert (response.status_code, response.reason_phrase) == (503, "Service Unavailable")
    assert response.headers["Retry-After"] == "5"
    assert bytes(response.body) == "größer\n".encode()


# Held against websockets


class Terms(ServerPerMessageDeflateFactory):
    """What `websockets` would agree to, but for a smaller window, which it would use."""

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, agreed = super().process_request_params(params, accepted_extensions)
        if agreed.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError("smaller window")
        return answer, agreed


def oracle(data: bytes) -> tuple[int, str | None, str | None, str | None]:
    """Return status, accept key, sub-protocol and extension of `ServerProtocol`'s answer."""

    def select(_: ServerProtocol, offered: Iterable[str]) -> str | None:
        return OURS if OURS in offered else None

    quiet = logging.Logger("oracle", logging.CRITICAL)  # noqa: LOG001 - outside the tree on purpose
    protocol = ServerProtocol(
        select_subprotocol=select,  # type: ignore[arg-type]
        extensions=[Terms(True, True, WINDOW_BITS)],
        logger=quiet,
    )
    protocol.receive_data(data)
    events = protocol.events_received()
    if not events:
        [*written, _] = protocol.data_to_send() or [b""]
        status = read_response(b"".join(written)).status_code if written else 400
        return status, None, None, None
    [request] = events
    assert isinstance(request, Request)
    response = protocol.accept(request)
    headers = response.headers
    key, extension = map(headers.get, ("Sec-WebSocket-Accept", "Sec-WebSocket-Extensions"))
    return response.status_code, key, headers.get("Sec-WebSocket-Protocol"), extension


def compare(data: bytes) -> None:
    """Raise AssertionError where the answer differs from websockets', but by a rule of ours."""
    outcome = open_all(data, compression=True)
    expected_status, expected_key, expected_subprotocol, expected_extension = oracle(data)
    if isinstance(outcome, Accepted):
        assert expected_status == 101
        assert outcome.subprotocol == expected_subprotocol
        extension = read_response(outcome.response).headers.get("Sec-WebSocket-Extensions")
        assert extension == expected_extension
        assert f"Sec-WebSocket-Accept: {expected_key}\r\n".encode() in outcome.response
    elif "Sec-WebSocket-Version; expected 13" in outcome.reason:
        assert (outcome.status, expected_status) == (426, 400)
    elif outcome.reason.startswith(("Host header", "no known sub-protocol")):
        # The oracle judges the extensions before, or does not mind.
        assert outcome.status == 400
        assert expected_status in (101, 400)
    else:
        assert outcome.status == expected_status


@given(heads)
@example(head())
@settings(max_examples=400, deadline=None)
def test_the_answer_is_that_of_websockets(data: bytes) -> None:
    """Status, key, sub-protocol and extension agree, but for what this module's rules add."""
    compare(data)


class WrongKey(ServerProtocol):
    """Checks everything, and answers every key alike."""

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        super().process_request(request)
        return ACCEPT, None, None


class NoChecks(ServerProtocol):
    """Answers the key, and checks nothing else."""

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        return accept_key(request.headers.get_all("Sec-WebSocket-Key")[0]), None, None


def no_offer(parsed: Request, accept: str) -> UpgradeRequest:
    return UpgradeRequest(parsed.path, "", "", accept, None, None, (), ())


def always_400(_: InvalidHandshake) -> Rejected:
    return reject(HTTPStatus.BAD_REQUEST, "no")


def never_plain(head: bytes) -> None:
    return None


def always_plain(head: bytes) -> UpgradeRequest:
    return UpgradeRequest("/ws", "", "hub.example:8000", ACCEPT, None, None, (), ())


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("_RULES", WrongKey()),
        ("_RULES", NoChecks()),
        ("_describe", no_offer),
        ("_explain", always_400),
        ("read_plain", always_plain),
        ("negotiate", lambda values: None),
        ("negotiate", lambda values: negotiate(["permessage-deflate"] if values else [])),
    ],
)
def test_the_comparison_catches_a_wrong_answer(
    monkeypatch: pytest.MonkeyPatch, part: str, fault: object
) -> None:
    """The comparison bites: every seeded fault is found by the same requests."""
    monkeypatch.setattr(handshake, "read_plain", never_plain)
    monkeypatch.setattr(handshake, part, fault)

    def is_caught(data: bytes) -> bool:
        try:
            compare(data)
        except AssertionError:
            return True
        return False

    search = settings(max_examples=5_000, phases=[Phase.generate], database=None, deadline=None)
    # Raises NoSuchExample where nothing catches it.
    find(heads, is_caught, settings=search, random=Random(6455))
