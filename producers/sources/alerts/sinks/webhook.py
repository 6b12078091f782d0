"""Alerts as posts over HTTP: signed, for another Tapecast or a program of yours, or as chats take
them.

A signed post is what `tapecast produce webhook` takes (see `producers.sources.webhook.signing`),
and the id is in `Idempotency-Key` too. A post is delivered when it is answered with 2xx. What is
answered 400, 413, 415 or 422 would be refused again; anything else may be mended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from producers.errors import SinkError
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions, Surroundings
from producers.sources.alerts.sinks.texts import DEFAULT_TEXT, fields_of, text_of
from producers.sources.credentials import require_secret, without_secrets
from producers.sources.extras import require
from producers.sources.webhook.signing import read_keys, signature_headers

if TYPE_CHECKING:
    import httpx

MAX_ANSWER: Final = 300
MAX_DISCORD: Final = 2_000
MAX_BUSY_SECONDS: Final = 3_600.0
_REFUSED: Final = frozenset({400, 413, 415, 422})


class WebhookOptions(SinkOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to post to.

    url, url_secret: the address, or the variable that holds it, since that of a chat is a secret.
    secret: the variable that holds the secret to sign with; not signed where there is none.
    body: all fields, or the text alone as Slack or Discord take it.
    text: a template; the fields of an alert are between braces.
    headers: more of them; those that are secrets have no place here.
    """

    url: str = ""
    url_secret: str = ""
    secret: str = ""
    body: Literal["tapecast", "slack", "discord"] = "tapecast"
    text: str = DEFAULT_TEXT
    headers: dict[str, str] = msgspec.field(default_factory=dict)

    def make(self, name: str, surroundings: Surroundings) -> WebhookSink:
        require("httpx", "alerts")
        if bool(self.url) == bool(self.url_secret):
            raise ValueError("expected either url or url_secret")
        url = self.url or require_secret(surroundings.environ, self.url_secret, "the address")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            # It may be a secret, so it is not shown.
            raise ValueError("url: expected one that begins with https:// or http://")
        keys: tuple[bytes, ...] = ()
        if self.secret:
            try:
                keys = read_keys(require_secret(surroundings.environ, self.secret, "the secret"))
            except ValueError as error:
                raise ValueError(f"{self.secret}: {error}") from None
        return WebhookSink(name, url, keys, self)


class WebhookSink(Sink):
    """One address."""

    def __init__(
        self, name: str, url: str, keys: tuple[bytes, ...], options: WebhookOptions
    ) -> None:
        self.name = name
        self._url = url
        self._keys = keys
        self._options = options
        self._http: httpx.AsyncClient | None = None

    async def deliver(self, notice: Notice) -> None:
        import httpx

        if self._http is None:
            self._http = httpx.AsyncClient(
                timeout=self._options.timeout_seconds, follow_redirects=False
            )
        body = msgspec.json.encode(self._body(notice))
        headers = {
            **self._options.headers,
            "content-type": "application/json",
            "idempotency-key": notice.id,
        }
        if self._keys:
            headers |= signature_headers(self._keys, notice.id, body, now=time.time())
        try:
            async with self._http.stream(
                "POST", self._url, content=body, headers=headers
            ) as answer:
                if answer.is_success:
                    return
                said = await _beginning(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = without_secrets(str(error) or type(error).__name__, [self._url])
            raise SinkError(f"could not post: {why}") from None
        raise SinkError(
            without_secrets(f"answered {answer.status_code}: {said}", [self._url]),
            seconds=_retry_after(answer.headers.get("retry-after")),
            is_lasting=answer.status_code in _REFUSED,
        )

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _body(self, notice: Notice) -> dict[str, Any]:
        template = self._options.text
        # In chats nobody is called by what an alert happens to say.
        match self._options.body:
            case "slack":
                return {"text": text_of(template, notice, _without_control)}
            case "discord":
                text = text_of(template, notice)[:MAX_DISCORD]
                return {"content": text, "allowed_mentions": {"parse": []}}
        return {**fields_of(notice), "text": text_of(template, notice)}


def _without_control(text: str) -> str:
    # The three characters that Slack asks to escape ("Formatting text for app surfaces").
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def _beginning(answer: httpx.Response) -> str:
    """The beginning of what was answered, for whoever has to mend it."""
    said = bytearray()
    async for piece in answer.aiter_bytes():
        said += piece
        if len(said) > MAX_ANSWER:
            break
    return " ".join(said[:MAX_ANSWER].decode(errors="replace").split())


def _retry_after(given: str | None) -> float:
    """The seconds that a busy server asks for; a date is taken for none."""
    if given is None or not given.isdecimal():
        return 0.0
    return min(float(given), MAX_BUSY_SECONDS)
