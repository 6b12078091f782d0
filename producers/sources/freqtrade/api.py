"""freqtrade's API: requests that are logged in, and its messages.

A request that fails, hangs or answers nonsense is a SourceError, one that is refused for its number
a SourceBusy. The access token is asked for with user and password, and again when it has expired;
it opens the WebSocket too, unless the bot has a token of its own for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import websockets

from producers.errors import SourceBusy, SourceError, SourceGone
from producers.pauses import retry_after

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
DEFAULT_BUSY_SECONDS: Final = 5.0
PING_SECONDS: Final = 5.0

Shape = TypeVar("Shape")


_wire = logging.getLogger(f"{__name__}.wire")
# Below that it tells of the request, whose line holds the token.
_wire.setLevel(logging.INFO)


class _Tokens(msgspec.Struct):
    access_token: str


class _Answer(NamedTuple):
    status: int
    retry_after: str | None
    content: bytes


_decode_object = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class Api:
    """An asynchronous context manager. url: of the bot, without `/api/v1`.

    timeout: seconds that one request, or a sign of life on the WebSocket, may take.
    """

    def __init__(
        self, url: str, username: str, password: str, *, ws_token: str | None, timeout: float
    ) -> None:
        self._base = f"{url.rstrip('/')}/api/v1"
        self._auth = (username, password)
        self._ws_token = ws_token
        self._timeout = timeout
        self._access_token: str | None = None
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        import httpx

        self._http = httpx.AsyncClient(timeout=self._timeout, follow_redirects=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._http is not None
        await self._http.aclose()
        self._http = None

    async def get(self, path: str, shape: type[Shape], **query: int) -> Shape:
        """What the bot answers, in its shape; raises SourceError, SourceGone where it has none."""
        for is_last in (False, True):
            token = self._access_token or await self._log_in()
            headers = {"authorization": f"Bearer {token}"}
            answer = await self._request("GET", path, headers=headers, params=query)
            if answer.status != 401 or is_last:
                return self._read(path, answer, shape)
            self._access_token = None
        raise AssertionError("the last answer is read")

    async def messages(self, types: Sequence[str]) -> AsyncGenerator[dict[str, Any] | None]:
        """The bot's messages of these types; None first, once they are subscribed to.

        Raises SourceError when the link breaks, or shows no sign of life.
        """
        token = self._ws_token or self._access_token or await self._log_in()
        parts = urlsplit(f"{self._base}/message/ws")
        scheme = {"http": "ws", "https": "wss"}[parts.scheme]
        url = parts._replace(scheme=scheme, query=f"token={quote(token, safe='')}").geturl()
        try:
            async with websockets.connect(
                url,
                open_timeout=self._timeout,
                close_timeout=1,
                ping_interval=PING_SECONDS,
                ping_timeout=self._timeout,
                max_size=MAX_MESSAGE_BYTES,
                logger=_wire,
            ) as link:
                await link.send(
                    msgspec.json.encode({"type": "subscribe", "data": list(types)}).decode()
                )
                yield None
                async for text in link:
                    yield _object(text)
            raise SourceError("the bot closed the message WebSocket")
        except websockets.ConnectionClosed as closed:
            # The bot accepts, then closes, where the token is wrong. It may only have expired.
            self._access_token = None
            raise SourceError(
                f"the message WebSocket was closed: {closed.rcvd or closed}"
            ) from None
        except websockets.InvalidStatus as refused:
            self._access_token = None
            status = refused.response.status_code
            raise SourceError(f"the message WebSocket was refused with {status}") from None
        except (websockets.WebSocketException, OSError) as error:
            raise SourceError(f"no message WebSocket: {error or type(error).__name__}") from None

    async def _log_in(self) -> str:
        answer = await self._request("POST", "token/login", auth=self._auth)
        if answer.status == 401:
            raise SourceError("the bot refused the username or password")
        self._access_token = self._read("token/login", answer, _Tokens).access_token
        return self._access_token

    async def _request(self, method: str, path: str, **options: Any) -> _Answer:
        import httpx

        assert self._http is not None
        content = bytearray()
        try:
            # httpx' own limit is on each step, and an answer may come a byte a step.
            async with asyncio.timeout(self._timeout):
                url = f"{self._base}/{path}"
                async with self._http.stream(method, url, **options) as answer:
                    async for piece in answer.aiter_bytes():
                        content += piece
                        if len(content) > MAX_ANSWER_BYTES:
                            raise SourceError(f"/{path}: expected at most {MAX_ANSWER_BYTES} bytes")
        except (TimeoutError, httpx.TimeoutException):
            raise SourceError(f"/{path}: no answer within {self._timeout:g} s") from None
        except httpx.HTTPError as error:
            raise SourceError(f"/{path}: {error or type(error).__name__}") from None
        return _Answer(answer.status_code, answer.headers.get("retry-after"), bytes(content))

    def _read(self, path: str, answer: _Answer, shape: type[Shape]) -> Shape:
        if answer.status in (429, 503):
            seconds = retry_after(answer.retry_after, DEFAULT_BUSY_SECONDS)
            raise SourceBusy(f"/{path}: answered {answer.status}, in {seconds:g} s", seconds)
        if answer.status == 404:
            raise SourceGone(f"/{path}: answered 404")
        if answer.status != 200:
            raise SourceError(f"/{path}: answered {answer.status}")
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"/{path}: {error}") from None


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        return _decode_object(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"a message that is none: {error}") from None
