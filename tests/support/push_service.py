"""A push service on a real port, and the browsers that it serves: RFC 8030 and 8292 from the
service's side, RFC 8291 from the browser's, written apart from what sends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.protocol.push import PushSubscription, from_base64url, to_base64url
from tests.support.web import Faults, serving

CURVE = ec.SECP256R1()


class Pushed(NamedTuple):
    """A message as a browser got it, and what the sender said to the service."""

    message: dict[str, Any]
    headers: dict[str, str]


class Browser:
    """One that subscribed. url: of its push service."""

    def __init__(self, url: str, name: str, public_key: str) -> None:
        self.endpoint = f"{url}/push/{name}"
        self.public_key = public_key
        self.pushed: list[Pushed] = []
        self.statuses: list[int] = []
        """What the service answers next, before it takes anything again."""
        self._key = ec.generate_private_key(CURVE)
        self._auth = os.urandom(16)

    @property
    def point(self) -> bytes:
        """Its public key."""
        key = self._key.public_key()
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def to_json(self) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        keys = {"p256dh": to_base64url(self.point), "auth": to_base64url(self._auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    def subscription(self, **changes: Any) -> PushSubscription:
        """What a hub keeps of it."""
        keys: dict[str, str] = self.to_json()["keys"]
        usual = {"channels": ("alerts",), "subject": "ann", "created": time.time(), **keys}
        usual |= {"endpoint": self.endpoint, "public_key": self.public_key}
        return PushSubscription(**{**usual, **changes})

    def decrypt(self, body: bytes) -> bytes:
        """The text of a message that was encrypted for it; anything else raises."""
        salt, record_bytes, size = body[:16], int.from_bytes(body[16:20]), body[20]
        sender, sealed = body[21 : 21 + size], body[21 + size :]
        assert len(body) <= 4096
        assert len(sealed) <= record_bytes
        shared = self._key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(CURVE, sender)
        )
        info = b"WebPush: info\0" + self.point + sender
        secret = HKDF(SHA256(), 32, self._auth, info).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        text, _, rest = AESGCM(key).decrypt(nonce, sealed, None).rpartition(b"\x02")
        assert rest == b""
        return text


class PushService:
    """Serves the browsers that ask it; `faults` are of all of them."""

    def __init__(self) -> None:
        self.url = ""
        self.browsers: dict[str, Browser] = {}
        self.tokens: set[str] = set()
        self.faults = Faults()
        self._app = Starlette(routes=[Route("/push/{name}", self._take, methods=["POST"])])

    def browser(self, name: str, public_key: str) -> Browser:
        """A browser that may be pushed to with this key alone."""
        browser = self.browsers[name] = Browser(self.url, name, public_key)
        return browser

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.faults(self._app, scope, receive, send)

    async def _take(self, request: Request) -> Response:
        browser = self.browsers.get(request.path_params["name"])
        if browser is None:
            return Response(status_code=404)
        if browser.statuses:
            headers = {"Retry-After": "7", "Location": self.url}
            return Response(status_code=browser.statuses.pop(0), headers=headers)
        if not self._may_push(request.headers["Authorization"], browser.public_key):
            return Response(status_code=403)
        if "TTL" not in request.headers or request.headers["Content-Encoding"] != "aes128gcm":
            return Response(status_code=400)
        text = browser.decrypt(await request.body())
        browser.pushed.append(Pushed(json.loads(text), dict(request.headers)))
        return Response(status_code=201, headers={"Location": f"{self.url}/message/1"})

    def _may_push(self, authorization: str, public_key: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        if scheme != "vapid" or parts["k"] != public_key:
            return False
        point = from_base64url(public_key)
        key = ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point)
        claims = jwt.decode(parts["t"], key, ["ES256"], audience=self.url)
        self.tokens.add(parts["t"])
        contact: str = claims["sub"]
        is_soon: bool = claims["exp"] <= time.time() + 24 * 3600
        return is_soon and contact.startswith(("mailto:", "https:"))


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """A push service, while it is served."""
    service = PushService()
    async with serving(service) as service.url:
        yield service
