"""What old dashboards ask over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from hub.protocol import codes
from hub.protocol.publication import Publication, SetValue
from hub.protocol.streams import Kind
from hub.server.legacy.rest import DEFAULT_DECISIONS, MAX_DECISIONS
from producers.events import (
    BreakerState,
    CircuitBreaker,
    Component,
    Health,
    HealthState,
    Side,
)
from tests.server.conftest import MakeHub
from tests.server.legacy.listening import listening
from tests.server.legacy.samples import (
    DECISION,
    OLD_DECISION,
    OLD_PORTFOLIO,
    OLD_POSITION,
    PORTFOLIO,
    POSITION,
    STATUS,
    Agent,
    changed,
)
from tests.support.brokers import store
from tests.support.held_broker import HeldBroker
from tests.support.livehub import OWN, Adapter, LiveHub, token

BOT_STATUS = "/api/v1/bot/status"
POSITIONS = "/api/v1/bot/positions"
DECISIONS = "/api/v1/decisions"
STATUS_PATH = "/api/v1/status"
GUARDED = (BOT_STATUS, POSITIONS, DECISIONS, STATUS_PATH)


@pytest.fixture(params=[OWN], ids=lambda adapter: adapter.name)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """HTTP is the same under either."""
    found: Adapter = request.param
    return found


def asking(live: LiveHub, shown: str | None = None, **headers: str) -> httpx.AsyncClient:
    """A client that shows a token, by default one for everything; none where it is empty."""
    shown = token() if shown is None else shown
    if shown:
        headers["Authorization"] = f"Bearer {shown}"
    return httpx.AsyncClient(base_url=live.url, headers=headers)


@pytest.fixture
async def http(live: LiveHub) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may read everything."""
    async with asking(live) as http:
        yield http


async def got(http: httpx.AsyncClient, path: str) -> Any:
    """The answer, which must be one."""
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


async def test_agent_and_account_in_one(http: httpx.AsyncClient, agent: Agent) -> None:
    """The first answer of the old dashboard's hooks, of which one reads the account and another the
    agent."""
    await agent.portfolio()
    await agent.status()
    await agent.decision()
    found = await got(http, BOT_STATUS)
    assert found.items() >= OLD_PORTFOLIO.items()
    assert (
        found.items()
        >= {
            "state": "running",
            "unified_status": "active",
            "total_trades": 3,
            "current_asset_pair": "ETHUSD",
            "error_message": None,
        }.items()
    )


async def test_the_account(http: httpx.AsyncClient, agent: Agent) -> None:
    """Where the old server answered it by itself."""
    await agent.portfolio()
    assert await got(http, STATUS_PATH) == OLD_PORTFOLIO


async def test_positions_are_a_plain_list(http: httpx.AsyncClient, agent: Agent) -> None:
    """With the numbers that were published."""
    await agent.positions(POSITION, changed(POSITION, id="p-2", side=Side.SHORT))
    second = {**OLD_POSITION, "id": "p-2", "side": "SHORT"}
    assert await got(http, POSITIONS) == [OLD_POSITION, second]
    assert '"size":0.0280' in (await http.get(POSITIONS)).text


async def test_decisions_are_a_plain_list(http: httpx.AsyncClient, agent: Agent) -> None:
    """The newest first, each once and as it is now, and as many as were asked for."""
    await agent.decisions(range(1, 31))
    done = changed(DECISION, id="d-20", executed=True)
    await agent.decision(done, "decision_updated")
    found = await got(http, DECISIONS)
    assert [each["id"] for each in found] == [f"d-{n}" for n in range(30, 20, -1)]
    assert len(found) == DEFAULT_DECISIONS
    found = await got(http, f"{DECISIONS}?limit=25")
    assert [each["id"] for each in found] == [f"d-{n}" for n in range(30, 5, -1)]
    assert [each["id"] for each in found if each["executed"]] == ["d-20"]
    assert found[0] == {**OLD_DECISION, "decision_id": "d-30", "id": "d-30"}
    assert len(await got(http, f"{DECISIONS}?limit={MAX_DECISIONS}")) == 30


@pytest.mark.parametrize("limit", ["0", "-1", "501", "x", "", "1e2", "\u0663"])
async def test_a_limit_that_can_not_be(http: httpx.AsyncClient, limit: str) -> None:
    """Expected and got are told where old dashboards look for them."""
    answer = await http.get(DECISIONS, params={"limit": limit})
    assert answer.status_code == 400
    body = answer.json()
    assert body["detail"] == body["error"]["message"]
    assert body["detail"].startswith("limit: expected 1 to 500")


async def test_nothing_was_published(http: httpx.AsyncClient) -> None:
    """No number is made up; lists are empty."""
    found = await got(http, BOT_STATUS)
    assert found["balance"] is found["portfolio_value"] is None
    assert (found["state"], found["unified_status"]) == ("stopped", "offline")
    assert (await got(http, STATUS_PATH))["balance"] is None
    assert await got(http, POSITIONS) == await got(http, DECISIONS) == []


async def test_an_answer_is_of_now(live: LiveHub, http: httpx.AsyncClient, agent: Agent) -> None:
    """Where a dashboard listens it comes from the live feed, and is no older than what that was
    told."""
    await agent.portfolio()
    async with listening(live, "/api/v1/bot/ws/portfolio") as client:
        await client.recv()
        for cents in range(1, 20):
            await agent.portfolio(changed(PORTFOLIO, equity=Decimal(cents)))
        told = await client.until(lambda frame: frame["portfolio_value"] == 19)
        assert (await got(http, STATUS_PATH))["portfolio_value"] == told[-1]["portfolio_value"]


async def test_what_is_stale_says_so(http: httpx.AsyncClient, agent: Agent) -> None:
    """An account whose producer is silent has an error beside its numbers, and the agent is not
    said to be at work."""
    await agent.portfolio(lease_ms=1)
    await agent.status(lease_ms=1)
    found = await got(http, BOT_STATUS)
    assert found["error"].startswith("portfolio is stale")
    assert found["error_message"].startswith("status is stale")
    assert (found["state"], found["is_operational"]) == ("error", False)
    assert found["portfolio_value"] is None
    assert found["balance"]["total"] == 10000


# Health


HEALTH = Health(
    state=HealthState.DEGRADED,
    components={
        "market": Component(state=HealthState.OK),
        "strategy": Component(state=HealthState.DEGRADED, detail="3 losses in a row"),
    },
    circuit_breakers={"losses": CircuitBreaker(state=BreakerState.HALF_OPEN, failures=3)},
)


async def test_health_as_the_old_dashboard_shows_it(http: httpx.AsyncClient, agent: Agent) -> None:
    """The producer's parts and breakers, and the balance, in the old words."""
    await agent.health(HEALTH)
    await agent.portfolio()
    found = await got(http, "/health")
    assert found.pop("uptime_seconds") >= 0
    assert found.pop("timestamp").endswith("Z")
    assert found == {
        "status": "degraded",
        "portfolio_balance": 10000,
        "components": {
            "market": {"status": "healthy", "message": None},
            "strategy": {"status": "degraded", "message": "3 losses in a row"},
        },
        "circuit_breakers": {"losses": {"state": "HALF_OPEN", "failure_count": 3}},
    }


async def test_health_tells_strangers_nothing(live: LiveHub, agent: Agent) -> None:
    """Without a token it says how the hub is, and nothing of an account; a wrong token is told."""
    await agent.health(HEALTH)
    await agent.portfolio()
    async with asking(live, "") as http:
        found = await got(http, "/health")
        assert found["status"] == "healthy"
        assert found["portfolio_balance"] is None
        assert found["components"] == found["circuit_breakers"] == {}
    async with asking(live, token(read=["portfolio"])) as http:
        found = await got(http, "/health")
        assert (found["portfolio_balance"], found["components"]) == (10000, {})
    async with asking(live, "nonsense") as http:
        assert (await http.get("/health")).status_code == 401


async def test_health_of_a_hub_that_is_not_well(make_hub: MakeHub) -> None:
    """It is answered whatever is wrong, and says what."""
    broker = HeldBroker()
    live = await make_hub(broker, legacy_paths=True)
    live.hub.draining = True
    broker.away = True
    async with asking(live) as http:
        found = await got(http, "/health")
        assert found["status"] == "unhealthy"
        assert "the hub is draining" in found["error"]
        assert "away" in found["error"]
        answer = await http.get(POSITIONS)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "out of reach" in answer.json()["detail"]


# Who may ask


async def test_who_shows_no_token_is_refused(live: LiveHub) -> None:
    """With the status that makes the old dashboard ask for a key, and the reason where it looks."""
    for shown in ("", "nonsense", token(ttl_seconds=-60)):
        async with asking(live, shown) as http:
            for path in GUARDED:
                answer = await http.get(path)
                assert answer.status_code == 401
                assert answer.json()["error"]["code"] == codes.UNAUTHORIZED.number
                assert answer.json()["detail"]
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_what_may_not_be_read(live: LiveHub, agent: Agent) -> None:
    """Each path wants the right to its channel; agent and account are each shown to who may read
    them."""
    await agent.portfolio()
    await agent.status()
    await agent.decision()
    async with asking(live, token(read=["portfolio"])) as http:
        for path, channel in ((POSITIONS, "positions"), (DECISIONS, "decisions")):
            answer = await http.get(path)
            assert answer.status_code == 403
            assert answer.json()["detail"] == f"the token does not allow reading {channel}"
        found = await got(http, BOT_STATUS)
        assert found["balance"]["total"] == 10000
        assert found["error_message"] == "the token does not allow reading status"
        assert found["state"] == "error"
    async with asking(live, token(read=["status"])) as http:
        found = await got(http, BOT_STATUS)
        assert found["balance"] is found["portfolio_value"] is None
        assert (found["state"], found["current_asset_pair"]) == ("running", None)
        assert (await http.get(STATUS_PATH)).status_code == 403
    async with asking(live, token(read=["agent"])) as http:
        assert (await http.get(BOT_STATUS)).status_code == 403


async def test_a_token_in_the_url(make_hub: MakeHub) -> None:
    """It counts where the operator said so, at these paths and no others."""
    live = await make_hub(legacy_paths=True, legacy_query_token=True)
    async with asking(live, "") as http:
        for path in GUARDED:
            assert (await http.get(path, params={"token": token()})).status_code == 200
        twice = f"{POSITIONS}?token={token()}&token={token()}"
        assert (await http.get(twice)).status_code == 401
        answer = await http.get("/api/v1/channels", params={"token": token()})
        assert answer.status_code == 401


async def test_a_token_in_the_url_counts_only_where_it_may(live: LiveHub) -> None:
    """Off by default, and the refusal says how to turn it on."""
    async with asking(live, "") as http:
        answer = await http.get(POSITIONS, params={"token": token()})
        assert answer.status_code == 401
        assert "TAPECAST_LEGACY_QUERY_TOKEN" in answer.json()["detail"]


async def test_pages_of_the_listed_origins(make_hub: MakeHub) -> None:
    """The old dashboard is served from elsewhere: its origin may ask, with its token in the header,
    and read the answers, refusals too; others may not."""
    live = await make_hub(legacy_paths=True, allowed_origins=("https://old.example",))
    async with asking(live, Origin="https://old.example") as http:
        asked = {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        for path in (*GUARDED, "/health", "/api/v1/bot/stream"):
            answer = await http.options(path, headers=asked)
            assert answer.status_code == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "https://old.example"
            assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
        for path in (*GUARDED, "/health", f"{DECISIONS}?limit=x"):
            answer = await http.get(path)
            assert answer.headers["Access-Control-Allow-Origin"] == "https://old.example"
    async with asking(live, Origin="https://evil.example") as http:
        for path in (*GUARDED, "/health", "/api/v1/bot/stream"):
            answer = await http.get(path)
            assert answer.status_code == 403
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_header_that_must_be_single(live: LiveHub) -> None:
    """Whose token it was would depend on who reads."""
    twice = [("Authorization", f"Bearer {token()}")] * 2
    async with httpx.AsyncClient(base_url=live.url) as http:
        for path in (*GUARDED, "/health", "/api/v1/bot/stream"):
            assert (await http.get(path, headers=twice)).status_code == 400


async def test_decisions_that_are_no_log(live: LiveHub, http: httpx.AsyncClient) -> None:
    """A channel that was recorded as another kind holds none."""
    value = Publication("decisions", Kind.VALUE, "set", SetValue(b'{"id":"d"}'), "other", 1)
    await store(live.hub.broker, value)
    assert await got(http, DECISIONS) == []
    assert (await got(http, BOT_STATUS))["current_asset_pair"] is None


async def test_an_account_of_its_own(make_hub: MakeHub) -> None:
    """The setting names the account whose channels are shown."""
    live = await make_hub(legacy_paths=True, legacy_account="acct-7")
    agent = Agent(live.hub.broker, "acct-7")
    await agent.portfolio()
    await agent.positions(POSITION)
    await agent.decision()
    async with asking(live, token(read=["portfolio:*", "positions:*", "decisions:*"])) as http:
        assert (await got(http, BOT_STATUS))["balance"]["total"] == 10000
        assert await got(http, POSITIONS) == [OLD_POSITION]
        assert await got(http, DECISIONS) == [OLD_DECISION]


async def test_the_paths_are_off_by_default(make_hub: MakeHub) -> None:
    """A hub that was not told to serve them has no such paths."""
    live = await make_hub()
    async with asking(live) as http:
        for path in (*GUARDED, "/health", "/api/v1/bot/stream"):
            assert (await http.get(path)).status_code == 404


async def test_our_own_paths_are_as_they_were(http: httpx.AsyncClient, agent: Agent) -> None:
    """Beside the old ones."""
    await agent.status(STATUS)
    assert (await got(http, "/api/v1/channels"))["channels"][0]["name"] == "status"
    assert (await got(http, "/healthz"))["status"] == "ok"
