"""Alerts to browsers that have the dashboard closed, through the push services of their makers.

Rules:
1. A hub keeps the subscriptions, and each delivery reads them anew: who logged out, or whose token
   has ended, is told of nothing more.
2. An endpoint was named by a user. It is looked at again here, nothing follows where it redirects
   to, and nothing that it answers is read but its status and when to come back.
3. A delivery that fails for some browsers is tried again for those alone; a push service and the
   browser each keep the newest of what they get twice (`Topic`, and the notification's tag).
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from hub.protocol import keys
from hub.protocol.errors import ProtocolError
from hub.protocol.push import (
    DROP,
    PushSubscription,
    check_endpoint,
    check_service,
    drop_call,
    read_subscription,
    to_base64url,
)
from producers.errors import SinkError
from producers.events import Severity
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions, Surroundings
from producers.sources.credentials import require_secret

if TYPE_CHECKING:
    import httpx

    from producers.sources.alerts.sinks.push_crypto import Vapid

logger = logging.getLogger(__name__)

AT_ONCE: Final = 16
"""Requests under way; a push service is one host for most browsers."""
BUSY_SECONDS: Final = 5.0
MAX_BUSY_SECONDS: Final = 3600.0
MAX_TITLE: Final = 160
MAX_DETAIL: Final = 480
SHORT_TITLE: Final = 60
"""Where the push service says that it is too long all the same."""

URGENCY: Final[Mapping[Severity, str]] = {
    Severity.CRITICAL: "high",
    Severity.WARNING: "normal",
    Severity.INFO: "low",
}
"""What a phone is woken up for (RFC 8030 section 5.3)."""


class WebPushOptions(SinkOptions, frozen=True, kw_only=True):
    """Alerts to the browsers that asked for them in the dashboard.

    contact: "mailto:..." or "https://...", for the push services' operators.
    key: the environment's name of the private key; KEY_FILE names a file with it.
    services: push services besides the known ones, as the hub's `push_services`.
    dashboard: the URL that a click opens; by default the one where the browser subscribed.
    """

    # As the switch in the dashboard says.
    severity: Severity = Severity.CRITICAL
    # One delivery is a request a browser.
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=25)] = 25.0
    contact: Annotated[str, msgspec.Meta(pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://\S+)$")]
    key: str = "WEB_PUSH_KEY"
    services: tuple[str, ...] = ()
    dashboard: Annotated[str, msgspec.Meta(pattern=r"^(https?://\S+)?$", max_length=512)] = ""

    def __post_init__(self) -> None:
        for service in self.services:
            check_service(service)

    def make(self, name: str, surroundings: Surroundings) -> Sink:
        for module in ("cryptography", "httpx"):
            if find_spec(module) is None:
                raise ValueError(f"expected {module}: pip install 'tapecast[web-push]'")
        from producers.sources.alerts.sinks.push_crypto import Vapid

        what = "the private key that `tapecast push-keys` makes"
        private_key = require_secret(surroundings.environ, self.key, what)
        try:
            vapid = Vapid(private_key, self.contact)
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from None
        return WebPushSink(name, self, vapid, surroundings.redis_url)


class _Kept(msgspec.Struct, frozen=True):
    """A subscription with what Redis holds of it."""

    content: bytes
    subscription: PushSubscription


class WebPushSink(Sink):
    """Pushes a notice to every browser that is subscribed to its channel."""

    def __init__(
        self,
        name: str,
        options: WebPushOptions,
        vapid: Vapid,
        redis_url: str,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._options = options
        self._vapid = vapid
        self._wall_clock = wall_clock
        self._redis: Redis = Redis.from_url(
            redis_url,
            protocol=2,
            # A delivery has one deadline, and is tried again as a whole.
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=None,
            health_check_interval=0,
        )
        self._drop = self._redis.register_script(DROP)
        self._http: httpx.AsyncClient | None = None
        self._turns = asyncio.Semaphore(AT_ONCE)
        # Of the notice that is delivered just now: who has it, or can't ever have it; and for whom
        # it was tried.
        self._notice = ""
        self._settled: set[str] = set()
        self._tried: set[str] = set()

    async def deliver(self, notice: Notice) -> None:
        if notice.id != self._notice:
            self._notice, self._settled, self._tried = notice.id, set(), set()
        found = await self._subscriptions(notice.channel)
        waiting = [each for each in found if each.subscription.id not in self._settled]
        # Where a delivery ran out of time before it came to the last, it begins there.
        waiting.sort(key=lambda kept: kept.subscription.id in self._tried)
        answers = await asyncio.gather(*(self._push(notice, kept) for kept in waiting))
        failures = [each for each in answers if each is not None]
        lasting = [each for each in failures if each.is_lasting]
        for_now = [each for each in failures if not each.is_lasting]
        if for_now:
            seconds = max(each.seconds for each in for_now)
            raise SinkError(f"{len(for_now)} browsers: {for_now[0]}", seconds=seconds)
        if lasting and len(lasting) == len(waiting):
            raise SinkError(f"{len(lasting)} browsers: {lasting[0]}", is_lasting=True)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
        await self._redis.aclose()

    async def _subscriptions(self, channel: str) -> list[_Kept]:
        """Those that may be told of this channel's alerts, and that this key may push to."""
        try:
            reply: Any = await self._redis.hgetall(keys.PUSH_SUBSCRIPTIONS)
        except (RedisError, OSError) as error:
            raise SinkError(f"subscriptions can't be read: {error}") from None
        now, found, foreign = self._wall_clock(), [], 0
        for content in reply.values():
            kept = read_subscription(content)
            if kept is None or channel not in kept.channels or not kept.lasts(now):
                continue
            if kept.public_key != self._vapid.public_key:
                foreign += 1
            else:
                found.append(_Kept(content, kept))
        if foreign:
            logger.warning(
                "%s: %d browsers are subscribed with another public key than that of %s: %s",
                *(self.name, foreign, self._options.key, self._vapid.public_key),
            )
        return found

    async def _push(self, notice: Notice, kept: _Kept) -> SinkError | None:
        """Push to one browser; what is wrong, where it did not get it."""
        try:
            async with self._turns:
                self._tried.add(kept.subscription.id)
                await self._send(notice, kept)
        except SinkError as error:
            if error.is_lasting:
                self._settled.add(kept.subscription.id)
                logger.warning("%s: %s", self.name, error)
            return error
        self._settled.add(kept.subscription.id)
        return None

    async def _send(self, notice: Notice, kept: _Kept) -> None:
        for is_short in (False, True):
            status, retry_after = await self._post(notice, kept.subscription, is_short=is_short)
            match status:
                case 200 | 201 | 202 | 204:
                    return
                case 404 | 410:
                    await self._forget(kept)
                    return
                case 413 if not is_short:
                    continue
                case 429 | 500 | 502 | 503 | 504:
                    seconds = _seconds(retry_after, self._wall_clock())
                    raise SinkError(f"the push service answered {status}", seconds=seconds)
            raise SinkError(f"the push service answered {status}", is_lasting=True)

    async def _post(
        self, notice: Notice, to: PushSubscription, *, is_short: bool
    ) -> tuple[int, str | None]:
        """The push service's status, and what it says of when to come back; raises SinkError."""
        import httpx

        from producers.sources.alerts.sinks.push_crypto import encrypt

        text = message_of(notice, self._options.dashboard, is_short=is_short)
        try:
            url = check_endpoint(to.endpoint, self._options.services)
            content = encrypt(text, to.p256dh, to.auth)
        except (ProtocolError, ValueError) as error:
            raise SinkError(f"subscription {to.id}: {error}", is_lasting=True) from None
        now = self._wall_clock()
        left = notice.at_us / 1_000_000 + self._options.max_age_seconds - now
        headers = {
            "Authorization": self._vapid.authorization(url, now),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(max(0, int(left))),
            "Urgency": URGENCY[notice.alert.severity],
        }
        if (topic := topic_of(notice)) is not None:
            headers["Topic"] = topic
        if self._http is None:
            # One that hangs must not take the whole delivery's time.
            seconds = self._options.timeout_seconds / 2
            self._http = httpx.AsyncClient(timeout=seconds, follow_redirects=False)
        try:
            async with self._http.stream("POST", url, headers=headers, content=content) as answer:
                return answer.status_code, answer.headers.get("Retry-After")
        except httpx.HTTPError as error:
            # Whose browser it is, a log need not know: the endpoint is a secret.
            raise SinkError(f"no push service: {type(error).__name__}") from None

    async def _forget(self, kept: _Kept) -> None:
        """Its browser ended the subscription; one that it made anew meanwhile stays."""
        call = drop_call(kept.subscription.id, kept.content)
        try:
            await self._drop(keys=call.keys, args=call.args)
        except (RedisError, OSError) as error:
            logger.warning("%s: a subscription that ended can't be dropped: %s", self.name, error)


def message_of(notice: Notice, dashboard: str, *, is_short: bool) -> bytes:
    """What the dashboard's service worker shows (dashboard/src/app/push/message.ts), as JSON."""
    alert = notice.alert
    message: dict[str, str | int | None] = {
        "id": notice.id,
        "tag": alert.incident or notice.id,
        "channel": notice.channel,
        "severity": alert.severity,
        "state": alert.state,
        "title": shortened(alert.title, SHORT_TITLE if is_short else MAX_TITLE),
        "detail": None if is_short else shortened(alert.detail or "", MAX_DETAIL) or None,
        "at": notice.at_us // 1000,
        "url": dashboard or None,
    }
    return msgspec.json.encode({name: value for name, value in message.items() if value})


def shortened(text: str, most: int) -> str:
    """At most so many characters, and what was left out is said to be."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def topic_of(notice: Notice) -> str | None:
    """By which a push service replaces what a closed browser has not got yet: by what comes next
    of the same rule on the same thing (RFC 8030 section 5.4). None for what no rule says."""
    alert = notice.alert
    if alert.rule is None:
        return None
    what = msgspec.json.encode((notice.channel, alert.rule, alert.channel, alert.row))
    return to_base64url(hashlib.sha256(what).digest()[:24])


def _seconds(retry_after: str | None, now: float) -> float:
    """The seconds of a header that has those, or a date."""
    if retry_after is None:
        return BUSY_SECONDS
    if retry_after.strip().isdecimal():
        seconds = float(retry_after)
    else:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - now
        except ValueError:
            seconds = BUSY_SECONDS
    return min(max(0.0, seconds), MAX_BUSY_SECONDS)
