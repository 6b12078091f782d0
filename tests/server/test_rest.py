from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
import websockets

from hub.broker.base import BrokerUnavailableError
from hub.broker.memory import MemoryBroker
from hub.protocol import codes, frames, keys
from hub.protocol.codes import Code
from hub.protocol.publication import Publication, SetValue
from hub.protocol.reading import ChannelReading
from hub.protocol.streams import Kind
from hub.server import access
from hub.server.answers import STATUS
from hub.server.auth import mint_token
from tests.support.brokers import store
from tests.support.livehub import SECRET, LiveHub, token
from tests.support.socket_client import exchange
from tests.support.valkey import Valkey

CHANNELS = "/api/v1/channels"
DEADLINE_SECONDS = 20.0


class FlakyBroker(MemoryBroker):
    """A broker whose answers can be withheld; counts how often it is asked for all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.listings = 0

    def _check(self) -> None:
        if self.away:
            raise BrokerUnavailableError("away")

    async def channels(self) -> list[str]:
        self._check()
        self.listings += 1
        return await super().channels()

    async def read(
        self, channel: str, since: int | None, limit: int, *, state: bool = True
    ) -> ChannelReading:
        self._check()
        return await super().read(channel, since, limit, state=state)

    async def store(self, publications: Sequence[Publication]) -> list[Any]:
        self._check()
        return await super().store(publications)


@pytest.fixture
def broker() -> FlakyBroker:
    return FlakyBroker()


@pytest.fixture
async def live(broker: FlakyBroker) -> AsyncIterator[LiveHub]:
    """A hub on a real socket, with channels in memory."""
    async with LiveHub(broker, body_bytes=16 * 1024) as live:
        yield live


def client(live: LiveHub, shown: str | None = None, **headers: str) -> httpx.AsyncClient:
    """A client that shows a token, by default one for everything."""
    headers["Authorization"] = f"Bearer {token() if shown is None else shown}"
    return httpx.AsyncClient(base_url=live.url, headers=headers)


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything."""
    async with client(live) as http:
        yield http


async def publish(http: httpx.AsyncClient, channel: str, *data: Any) -> list[Any]:
    """Publish each of `data`; the answers."""
    answers = []
    for each in data:
        response = await http.post(f"{CHANNELS}/{channel}", json={"event": "e", "data": each})
        assert response.status_code == 200, response.text
        answers.append(response.json())
    return answers


async def follow(live: LiveHub, channel: str) -> None:
    """Bring the channel's live feed up, as a subscriber would."""
    url = f"{live.url.replace('http', 'ws')}/ws"
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        websockets.connect(
            url,
            subprotocols=[websockets.Subprotocol(frames.SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token()}"},
        ) as socket,
    ):
        await socket.recv()
        await socket.send(f'{{"id":1,"method":"subscribe","params":{{"channel":"{channel}"}}}}')
        await socket.recv()


async def listed_as(http: httpx.AsyncClient, wanted: Callable[[Any], bool]) -> None:
    """Return once the only channel is listed as wanted."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not wanted((await http.get(CHANNELS)).json()["channels"][0]):  # noqa: ASYNC110
            # An answer over HTTP has no event to wait on.
            await asyncio.sleep(0.01)


def since_of(position: Any) -> str:
    """A position as `since` takes it."""
    return f"{position['epoch']}:{position['seq']}:{position['tag']}"


def error_of(response: httpx.Response, status: int, code: Code) -> str:
    """The message of a refusal that must be this one."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    message = error.pop("message")
    assert error == {"code": code.number, "name": code.name, "retry": code.reconnect}
    assert isinstance(message, str)
    return message


# Who may ask


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Basic dXNlcjpwYXNz"])
async def test_without_a_good_token_nothing_is_answered(
    live: LiveHub, authorization: str | None
) -> None:
    """No token, a bad one and another scheme are answered with 401 and how to authenticate."""
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(base_url=live.url, headers=headers) as http:
        for method, path in [
            ("GET", CHANNELS),
            ("GET", f"{CHANNELS}/portfolio"),
            ("GET", f"{CHANNELS}/portfolio/history"),
            ("POST", f"{CHANNELS}/portfolio"),
        ]:
            response = await http.request(method, path)
            error_of(response, 401, codes.UNAUTHORIZED)
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_expired_token_is_refused(live: LiveHub) -> None:
    """A token at its end opens nothing."""
    async with client(live, token(ttl_seconds=-1)) as http:
        assert "expired" in error_of(await http.get(CHANNELS), 401, codes.UNAUTHORIZED)


@pytest.mark.parametrize("name", ["Authorization", "Origin"])
async def test_a_header_that_must_be_single_is_refused_twice(live: LiveHub, name: str) -> None:
    """Two tokens would be one for a proxy and one for the hub; the first used to count."""
    shown = [("Authorization", f"Bearer {token()}"), ("Origin", live.url)]
    async with httpx.AsyncClient(base_url=live.url) as http:
        assert (await http.get(CHANNELS, headers=shown)).status_code == 200
        again = next(pair for pair in shown if pair[0] == name)
        response = await http.get(CHANNELS, headers=[*shown, again])
        assert name in error_of(response, 400, codes.BAD_REQUEST)


async def test_reading_is_by_the_read_patterns(live: LiveHub, http: httpx.AsyncClient) -> None:
    """A token reads and lists what its patterns take, and is told nothing of other channels."""
    await publish(http, "orders:a", 1)
    await publish(http, "orders:b", 1)
    async with client(live, token(read=["orders:a"])) as reader:
        listed = (await reader.get(CHANNELS)).json()["channels"]
        assert [row["name"] for row in listed] == ["orders:a"]
        assert (await reader.get(f"{CHANNELS}/orders:a")).status_code == 200
        for path in ("orders:b", "orders:b/history", "orders:none"):
            error_of(await reader.get(f"{CHANNELS}/{path}"), 403, codes.FORBIDDEN)


async def test_publishing_is_by_the_publish_patterns(live: LiveHub) -> None:
    """The right to read is no right to publish."""
    async with client(live, token(read=["*"], publish=["fills"])) as http:
        await publish(http, "fills", "fill")
        response = await http.post(f"{CHANNELS}/orders", json={"event": "e", "data": 1})
        error_of(response, 403, codes.FORBIDDEN)


async def test_a_page_of_another_origin_is_refused(live: LiveHub) -> None:
    """A page that is not on the list neither reads nor publishes, even with a token."""
    async with client(live, Origin="https://elsewhere.example") as http:
        error_of(await http.get(CHANNELS), 403, codes.FORBIDDEN)
        response = await http.post(f"{CHANNELS}/orders", json={"event": "e", "data": 1})
        error_of(response, 403, codes.FORBIDDEN)
    async with client(live, Origin=live.url) as http:
        assert (await http.get(CHANNELS)).status_code == 200


async def test_a_page_of_an_allowed_origin_may_read_the_answers() -> None:
    """A dashboard on the list gets what a browser asks for before it hands an answer over."""
    origin = "https://desk.example"
    async with LiveHub(MemoryBroker(), allowed_origins=(origin,)) as live:
        async with client(live, Origin=origin) as http:
            response = await http.get(CHANNELS)
            assert response.headers["Access-Control-Allow-Origin"] == origin
        asking = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        async with httpx.AsyncClient(base_url=live.url) as http:
            response = await http.options(f"{CHANNELS}/orders", headers=asking)
            assert response.status_code == 200
            assert response.headers["Access-Control-Allow-Origin"] == origin


# The list


async def test_the_list_says_what_each_channel_is(http: httpx.AsyncClient) -> None:
    """Each channel is listed with its kind, head and age, by name."""
    [value] = await publish(http, "portfolio", {"equity": "1"})
    [row] = await publish(http, "positions", {"rows": {"p1": {}}})
    _, entry = await publish(http, "decisions", 1, 2)
    listed = (await http.get(CHANNELS)).json()["channels"]
    assert [(each["name"], each["kind"]) for each in listed] == [
        ("decisions", "log"),
        ("portfolio", "value"),
        ("positions", "table"),
    ]
    assert [since_of(each["head"]) for each in listed] == list(map(since_of, (entry, value, row)))
    assert all(0 <= each["age_ms"] < DEADLINE_SECONDS * 1000 for each in listed)
    assert not any(each["stale"] for each in listed)


@pytest.mark.parametrize("followed", [False, True])
async def test_the_list_says_which_channels_are_stale(
    live: LiveHub, broker: FlakyBroker, http: httpx.AsyncClient, followed: bool
) -> None:
    """A channel whose producer missed its deadline is stale in the list and in its snapshot."""
    value = Publication("portfolio", Kind.VALUE, "e", SetValue(b"1"), "p", 0, lease_ms=50)
    await store(broker, value)
    if followed:
        await follow(live, "portfolio")
    await listed_as(http, lambda row: bool(row["stale"]))
    snapshot = await http.get(f"{CHANNELS}/portfolio")
    assert snapshot.json()["stale"] is True
    assert snapshot.headers["ETag"].endswith('-stale"')


async def test_a_channel_with_a_live_feed_is_listed_as_of_now(
    live: LiveHub, broker: FlakyBroker, http: httpx.AsyncClient
) -> None:
    """A followed channel's head is the feed's, not that of an older listing."""
    await publish(http, "portfolio", 1)
    await http.get(CHANNELS)
    await follow(live, "portfolio")
    [second] = await publish(http, "portfolio", 2)
    await listed_as(http, lambda row: since_of(row["head"]) == since_of(second))


async def test_pages_that_ask_together_share_one_reading(
    broker: FlakyBroker, http: httpx.AsyncClient
) -> None:
    """Lists that are asked for at one moment cost the broker one, or a few where it takes long."""
    await publish(http, "portfolio", 1)
    answers = await asyncio.gather(*(http.get(CHANNELS) for _ in range(20)))
    assert all(len(answer.json()["channels"]) == 1 for answer in answers)
    assert broker.listings <= 5


async def test_a_damaged_channel_is_left_out(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """What was put in a channel's place by hand is asked for in vain, and the list goes on without
    it; it used to fail for all."""
    async with LiveHub(redis_url=valkey.url) as live, client(live) as http:
        await publish(http, "portfolio", 1)
        with redis.Redis(unix_socket_path=str(valkey.socket)) as by_hand:
            by_hand.set(keys.meta("positions"), "poison")
        listed = (await http.get(CHANNELS)).json()["channels"]
        assert [row["name"] for row in listed] == ["portfolio"]
        assert "left out of the list: positions" in caplog.text
        answer = await http.get(f"{CHANNELS}/positions")
        assert answer.status_code == 503
        assert "positions: WRONGTYPE" in answer.json()["error"]["message"]


# Snapshots


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize(
    ("channel", "published", "data"),
    [
        ("portfolio", {"equity": "10.50"}, {"equity": "10.50"}),
        ("positions", {"upsert": {"p1": {"size": "2"}}}, {"rows": {"p1": {"size": "2"}}}),
    ],
)
async def test_a_snapshot_is_the_frame_that_a_subscriber_gets(
    live: LiveHub,
    http: httpx.AsyncClient,
    channel: str,
    published: Any,
    data: Any,
    followed: bool,
) -> None:
    """The whole state at a position, whether or not anybody follows the channel."""
    [at] = await publish(http, channel, published)
    if followed:
        await follow(live, channel)
    response = await http.get(f"{CHANNELS}/{channel}")
    snapshot = response.json()
    assert snapshot.pop("ts") > 0
    assert snapshot == {
        "channel": channel,
        "type": "snapshot",
        "epoch": at["epoch"],
        "seq": 1,
        "tag": at["tag"],
        "data": data,
        "kind": "value" if channel == "portfolio" else "table",
        "stale": False,
    }


async def test_a_snapshot_of_a_log_has_its_newest_entries(http: httpx.AsyncClient) -> None:
    """A log's snapshot holds the last `history` entries, oldest first."""
    await publish(http, "decisions", *range(60))
    entries = (await http.get(f"{CHANNELS}/decisions")).json()["data"]["entries"]
    assert [entry["data"] for entry in entries] == list(range(10, 60))


async def test_an_unchanged_snapshot_is_not_sent_again(http: httpx.AsyncClient) -> None:
    """The entity tag is the position: the same one is answered with 304, an older one in full."""
    [first] = await publish(http, "portfolio", 1)
    path = f"{CHANNELS}/portfolio"
    etag = (await http.get(path)).headers["ETag"]
    assert etag == f'"{first["epoch"]}-1-{first["tag"]}"'
    for condition in (etag, f'"other", W/{etag}'):
        response = await http.get(path, headers={"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["ETag"] == etag
    await publish(http, "portfolio", 2)
    response = await http.get(path, headers={"If-None-Match": etag})
    assert response.json()["data"] == 2


async def test_an_unknown_channel_is_not_found(live: LiveHub, http: httpx.AsyncClient) -> None:
    """A channel that nothing was published to is 404, also while somebody waits for it."""
    for path in ("nothing", "nothing/history"):
        error_of(await http.get(f"{CHANNELS}/{path}"), 404, codes.NOT_FOUND)
    await follow(live, "nothing")
    error_of(await http.get(f"{CHANNELS}/nothing"), 404, codes.NOT_FOUND)


@pytest.mark.parametrize("name", ["UPPER", "a::b", "x" * 256, "sp%20ace"])
async def test_a_bad_channel_name_is_told(http: httpx.AsyncClient, name: str) -> None:
    """A name outside the grammar is 400, for every endpoint."""
    for method, path in [("GET", name), ("GET", f"{name}/history"), ("POST", name)]:
        response = await http.request(method, f"{CHANNELS}/{path}")
        assert "channel name" in error_of(response, 400, codes.BAD_REQUEST)


# History


async def test_history_has_the_newest_entries_oldest_first(http: httpx.AsyncClient) -> None:
    """Without `since`, the newest `limit` entries as the socket sends them, up to the head."""
    answers = await publish(http, "decisions", *range(5))
    history = (await http.get(f"{CHANNELS}/decisions/history", params={"limit": 3})).json()
    assert [entry["data"] for entry in history["entries"]] == [2, 3, 4]
    assert history["entries"][-1]["type"] == "update"
    assert since_of(history["head"]) == since_of(answers[-1])
    assert history["kind"] == "log"
    assert (history["complete"], history["next"]) == (True, None)


@pytest.mark.parametrize("by_seq", [False, True])
async def test_history_pages_lead_to_the_head(http: httpx.AsyncClient, by_seq: bool) -> None:
    """Following `next` from a position gives every entry after it once, each page complete."""
    answers = await publish(http, "decisions", *range(8))
    since = "1" if by_seq else since_of(answers[0])
    found: list[int] = []
    while since is not None:
        params: dict[str, str | int] = {"since": since, "limit": 3}
        page = (await http.get(f"{CHANNELS}/decisions/history", params=params)).json()
        assert page["complete"]
        found += [entry["data"] for entry in page["entries"]]
        since = page["next"]
    assert found == list(range(1, 8))


async def test_history_since_the_head_is_empty_and_complete(http: httpx.AsyncClient) -> None:
    """Who has seen everything is told so."""
    [at] = await publish(http, "decisions", 1)
    for since in (since_of(at), "1"):
        params = {"since": since}
        page = (await http.get(f"{CHANNELS}/decisions/history", params=params)).json()
        assert (page["entries"], page["complete"], page["next"]) == ([], True, None)


async def test_history_does_not_claim_what_it_cannot_prove(http: httpx.AsyncClient) -> None:
    """A fork, another history and a seq that was never reached are not complete."""
    first, _ = await publish(http, "decisions", 1, 2)
    for since, seqs in [
        (f"{first['epoch']}:1:ffffffff", [2]),
        (f"another:2:{first['tag']}", [1, 2]),
        ("7", []),
        (f"{first['epoch']}:7:{first['tag']}", []),
    ]:
        params = {"since": since}
        page = (await http.get(f"{CHANNELS}/decisions/history", params=params)).json()
        assert [entry["seq"] for entry in page["entries"]] == seqs
        assert (page["complete"], page["next"]) == (False, None)


async def test_history_since_nothing_is_everything(http: httpx.AsyncClient) -> None:
    """The position of an empty channel, which has no epoch yet, leads from the first entry on."""
    await publish(http, "decisions", 1, 2)
    page = (await http.get(f"{CHANNELS}/decisions/history", params={"since": "0"})).json()
    assert ([entry["seq"] for entry in page["entries"]], page["complete"]) == ([1, 2], True)


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
        {"limit": "-1"},
        {"limit": "9" * 5000},
        {"limit": "000000011001"},
        {"since": "x"},
        {"since": "e:1"},
        {"since": "1:ab"},
        {"since": "-1"},
        {"since": str(2**53)},
        {"since": "9" * 5000},
    ],
)
async def test_bad_history_parameters_are_told(
    http: httpx.AsyncClient, params: dict[str, str]
) -> None:
    """What cannot be a limit or a position is 400 and says what was expected."""
    response = await http.get(f"{CHANNELS}/decisions/history", params=params)
    assert "expected" in error_of(response, 400, codes.BAD_REQUEST)


# Publishing


async def test_a_publish_is_answered_with_its_position(http: httpx.AsyncClient) -> None:
    """A change gets the next position; an equal value gets that of the value that it equals."""
    first, again, second = await publish(http, "portfolio", {"a": 1}, {"a": 1}, {"a": 2})
    assert (first["channel"], first["seq"], first["unchanged"]) == ("portfolio", 1, False)
    assert again == {**first, "unchanged": True}
    assert (second["epoch"], second["seq"]) == (first["epoch"], 2)


@pytest.mark.parametrize("body", ['{"batch":%s}', "%s"])
async def test_a_batch_is_published_in_its_order(http: httpx.AsyncClient, body: str) -> None:
    """Each entry is answered under its place, and the entries stand in the order of the batch."""
    entries = '[{"event":"e","data":1},{"event":"e","data":2},{"event":"e","data":3}]'
    response = await http.post(f"{CHANNELS}/decisions", content=body % entries)
    assert response.status_code == 200
    assert [each["seq"] for each in response.json()["results"]] == [1, 2, 3]
    history = (await http.get(f"{CHANNELS}/decisions/history")).json()
    assert [entry["data"] for entry in history["entries"]] == [1, 2, 3]


async def test_a_refused_entry_does_not_hold_back_the_others(http: httpx.AsyncClient) -> None:
    """A batch is answered entry by entry; one that is refused makes it 207."""
    batch = [{"event": "e", "data": 1}, {"event": "e", "data": "NaN"}, {"event": "e", "data": 2}]
    response = await http.post(f"{CHANNELS}/decisions", json={"batch": batch})
    assert response.status_code == 207
    one, refused, two = response.json()["results"]
    assert (one["seq"], two["seq"]) == (1, 2)
    assert refused["error"]["code"] == codes.INVALID_DATA.number


async def test_a_repeated_request_publishes_once(http: httpx.AsyncClient) -> None:
    """The same Idempotency-Key again is answered as before, for each entry of a batch."""
    batch = [{"event": "e", "data": 1}, {"event": "e", "data": 2}]
    headers = {"Idempotency-Key": "run 7 / ärger"}
    path = f"{CHANNELS}/decisions"
    raw = {key: value.encode("latin-1") for key, value in headers.items()}
    first = await http.post(path, json=batch, headers=list(raw.items()))  # type: ignore[arg-type]
    again = await http.post(path, json=batch, headers=list(raw.items()))  # type: ignore[arg-type]
    assert again.json() == first.json()
    assert (await http.get(f"{path}/history")).json()["head"]["seq"] == 2


async def test_an_idempotency_key_is_of_one_request(http: httpx.AsyncClient) -> None:
    """Another body under it is refused: it used to be answered as if it had been published."""
    headers = {"Idempotency-Key": "k"}
    path = f"{CHANNELS}/decisions"
    first = await http.post(path, json={"event": "e", "data": 1}, headers=headers)
    other = await http.post(path, json={"event": "e", "data": 2}, headers=headers)
    assert "of another request" in error_of(other, 422, codes.INVALID_DATA)
    again = await http.post(path, json={"event": "e", "data": 1}, headers=headers)
    assert again.json() == first.json()
    elsewhere = await http.post(f"{CHANNELS}/news", json={"event": "e", "data": 2}, headers=headers)
    assert elsewhere.json()["seq"] == 1
    assert (await http.get(f"{path}/history")).json()["head"]["seq"] == 1


async def test_an_idempotency_key_is_its_subject_s_own(
    live: LiveHub, http: httpx.AsyncClient
) -> None:
    """Nobody is answered by what another subject published under the same key."""
    other = mint_token(SECRET, "other", publish=["*"], ttl_seconds=60, now=time.time())
    body = {"event": "e", "data": 1}
    headers = {"Idempotency-Key": "k"}
    first = await http.post(f"{CHANNELS}/decisions", json=body, headers=headers)
    async with client(live, other) as stranger:
        second = await stranger.post(f"{CHANNELS}/decisions", json=body, headers=headers)
    assert (first.json()["seq"], second.json()["seq"]) == (1, 2)


async def test_requests_without_a_key_are_each_a_publish(http: httpx.AsyncClient) -> None:
    """Two equal log entries are two entries, unless the requests say that they are one."""
    one, two = await publish(http, "decisions", 1, 1)
    assert (one["seq"], two["seq"]) == (1, 2)


async def test_a_keyed_log_entry_is_published_once(http: httpx.AsyncClient) -> None:
    """An entry under a key whose data did not change is not published again."""
    body = {"event": "e", "data": {"id": 1}, "key": "decision-1"}
    first = (await http.post(f"{CHANNELS}/decisions", json=body)).json()
    again = (await http.post(f"{CHANNELS}/decisions", json=body)).json()
    assert again == {**first, "unchanged": True}


async def test_what_is_published_keeps_the_recorded_kind(
    broker: FlakyBroker, http: httpx.AsyncClient
) -> None:
    """Data is read as the channel was recorded, whatever its stream is configured as."""
    value = Publication("orders", Kind.VALUE, "e", SetValue(b"1"), "p", 0)
    await store(broker, value)
    await publish(http, "orders", 2)
    assert (await http.get(f"{CHANNELS}/orders")).json()["data"] == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, codes.BAD_REQUEST),
        (b"nonsense", 400, codes.BAD_REQUEST),
        (b"\xff\xfe", 400, codes.BAD_REQUEST),
        (b'{"event":"e"}', 400, codes.BAD_REQUEST),
        (b'{"data":1}', 400, codes.BAD_REQUEST),
        (b'{"event":"e v","data":1}', 400, codes.BAD_REQUEST),
        (b'{"event":"e","data":1,"key":7}', 400, codes.BAD_REQUEST),
        (b"[]", 400, codes.BAD_REQUEST),
        (b'{"batch":[]}', 400, codes.BAD_REQUEST),
        (b'{"batch":7}', 400, codes.BAD_REQUEST),
        (b'[{"event":"e","data":1},{"event":"","data":1}]', 400, codes.BAD_REQUEST),
        (b'[{"event":"e","data":1},7]', 400, codes.BAD_REQUEST),
        (b"[" * 15_000, 400, codes.BAD_REQUEST),
        (b'{"event":"e","data":NaN}', 400, codes.BAD_REQUEST),
        (b'{"event":"e","data":"-Infinity"}', 422, codes.INVALID_DATA),
        (b'{"event":"e","data":"\xff"}', 422, codes.INVALID_DATA),
        (b'{"event":"e","data":' + b"[" * 40 + b"]" * 40 + b"}", 422, codes.INVALID_DATA),
    ],
)
async def test_a_bad_body_publishes_nothing(
    http: httpx.AsyncClient, body: bytes, status: int, code: Code
) -> None:
    """What is no publish, or must not be published, is refused as a whole and says why."""
    response = await http.post(f"{CHANNELS}/decisions", content=body)
    assert error_of(response, status, code)
    error_of(await http.get(f"{CHANNELS}/decisions"), 404, codes.NOT_FOUND)


async def test_a_table_takes_rows_alone(http: httpx.AsyncClient) -> None:
    """What is no change of a table is refused, and says what one looks like."""
    response = await http.post(f"{CHANNELS}/positions", json={"event": "e", "data": {"p1": 1}})
    assert "upsert" in error_of(response, 422, codes.INVALID_DATA)


@pytest.mark.parametrize("declared", [False, True])
async def test_a_body_over_the_bound_is_not_read_to_its_end(
    http: httpx.AsyncClient, declared: bool
) -> None:
    """A body that is too large, or does not end, is refused once its size is known to be."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 4096
            # Lets the answer in.
            await asyncio.sleep(0)

    content: Any = b"x" * 20_000 if declared else endless()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            response = await http.post(f"{CHANNELS}/decisions", content=content)
    except httpx.TransportError:
        # The hub closed the connection while the rest was on its way.
        assert not declared
    else:
        assert "16384" in error_of(response, 413, codes.TOO_LARGE)
        assert response.headers["Connection"] == "close"


async def test_a_body_that_does_not_come_is_given_up(
    live: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends with its deadline; it used to be held for as long as its client liked."""
    monkeypatch.setattr(access, "BODY_SECONDS", 0.05)
    head = (
        f"POST {CHANNELS}/orders HTTP/1.1\r\nHost: {urlsplit(live.url).netloc}\r\n"
        f"Authorization: Bearer {token()}\r\nContent-Length: 100\r\n\r\n"
    )
    answer = await exchange(live.url, head.encode() + b'{"event":')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"expected the body within 0.05 s" in answer


async def test_data_over_the_bound_is_too_large() -> None:
    """Data larger than may be published is 413, though the body is within its own bound."""
    async with LiveHub(MemoryBroker()) as live, client(live) as http:
        body = {"event": "e", "data": "x" * 300_000}
        response = await http.post(f"{CHANNELS}/decisions", json=body)
        error_of(response, 413, codes.TOO_LARGE)
        batch = [{"event": "e", "data": 1}] * 1001
        response = await http.post(f"{CHANNELS}/decisions", json=batch)
        error_of(response, 413, codes.TOO_LARGE)


@pytest.mark.parametrize("keys", [[""], ["k" * 256], ["a", "b"]])
async def test_a_bad_idempotency_key_is_told(http: httpx.AsyncClient, keys: list[str]) -> None:
    """A key is one of 1 to 255 characters: a retry must not be taken for another publish."""
    body = {"event": "e", "data": 1}
    headers = [("Idempotency-Key", key) for key in keys]
    response = await http.post(f"{CHANNELS}/decisions", json=body, headers=headers)
    assert "Idempotency-Key" in error_of(response, 400, codes.BAD_REQUEST)


# What cannot be answered


async def test_a_broker_out_of_reach_is_worth_a_retry(
    broker: FlakyBroker, http: httpx.AsyncClient
) -> None:
    """Whatever needs the broker is 503 with Retry-After while it is away."""
    await publish(http, "decisions", 1)
    broker.away = True
    for method, path in [
        ("GET", CHANNELS),
        ("GET", f"{CHANNELS}/decisions"),
        ("GET", f"{CHANNELS}/decisions/history"),
        ("POST", f"{CHANNELS}/decisions"),
    ]:
        body = {"event": "e", "data": 1} if method == "POST" else None
        response = await http.request(method, path, json=body)
        error_of(response, 503, codes.UNAVAILABLE)
        assert int(response.headers["Retry-After"]) > 0
    broker.away = False
    assert (await http.get(CHANNELS)).status_code == 200


async def test_a_followed_channel_is_answered_without_the_broker(
    live: LiveHub, broker: FlakyBroker, http: httpx.AsyncClient
) -> None:
    """The snapshot of a live feed is in the hub's memory."""
    await publish(http, "portfolio", 1)
    await follow(live, "portfolio")
    broker.away = True
    assert (await http.get(f"{CHANNELS}/portfolio")).json()["data"] == 1


async def test_what_is_no_endpoint_is_told_as_json(http: httpx.AsyncClient) -> None:
    """A wrong path or method below the API is answered as every other error is."""
    error_of(await http.get("/api/v1/nothing"), 404, codes.NOT_FOUND)
    response = await http.put(CHANNELS)
    error_of(response, 405, codes.BAD_REQUEST)
    assert "GET" in response.headers["Allow"]


def test_every_code_that_commands_are_refused_with_has_a_status() -> None:
    """No row from 4400 on is left without an HTTP status but those of connections alone."""
    of_connections = {codes.AUTH_TIMEOUT, codes.TOO_SLOW}
    own = {code for code in codes.TABLE if code.number >= 4400}
    assert own - of_connections == set(STATUS)


async def test_every_answer_carries_the_headers_of_safety(http: httpx.AsyncClient) -> None:
    """Answers, refusals and files alike are neither sniffed, framed nor kept by strangers."""
    for path in (
        CHANNELS,
        f"{CHANNELS}/nothing",
        "/healthz",
        "/page/",
        "/page/page.js",
        "/nothing",
    ):
        headers = (await http.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy, path
        kept = path.startswith("/page/")
        assert headers["Cache-Control"] == ("no-cache" if kept else "no-store"), path
