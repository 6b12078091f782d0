"""Peer: Django Channels under uvicorn, with the channel layer of channels_redis.

The token is checked as in Tapecast; who subscribes joins a group, which each publish is sent to.
The layer goes through the same Valkey, as it must where there is more than one process. Runs in a
virtual environment of its own. The secret is TAPECAST_JWT_SECRET.
"""

from __future__ import annotations

import json
import os
from typing import Any

import django  # type: ignore[import-not-found]
import jwt
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncWebsocketConsumer,
)
from channels.layers import get_channel_layer  # type: ignore[import-untyped]
from channels.routing import ProtocolTypeRouter  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-not-found]

from benchmarks.peers.common import (
    REPLY,
    SNAPSHOT,
    WELCOME,
    Options,
    published,
    read_options,
    serve,
)

GROUP = "subscribers"


class Viewer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One connection."""

    async def connect(self) -> None:
        """Check the token, accept."""
        try:
            header = dict(self.scope["headers"])[b"authorization"].decode()
            token = header.removeprefix("Bearer ")
            jwt.decode(token, os.environ["TAPECAST_JWT_SECRET"], algorithms=["HS256"])
        except (KeyError, jwt.InvalidTokenError):
            await self.close()
            return
        await self.accept(subprotocol="tapecast.v1")
        await self.send(text_data=WELCOME)

    async def receive(self, text_data: str) -> None:
        """Answer a subscribe."""
        command = json.loads(text_data)
        channel = command["params"]["channel"]
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.send(text_data=REPLY % (command["id"], channel))
        await self.send(text_data=SNAPSHOT % channel)

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def update(self, event: dict[str, Any]) -> None:
        """Pass on what was sent to the group."""
        await self.send(text_data=event["text"])


async def follow(options: Options) -> None:
    """Send what is published to the group."""
    layer = get_channel_layer()
    async for payload in published(options):
        await layer.group_send(GROUP, {"type": "update", "text": payload.decode()})


if __name__ == "__main__":
    options = read_options(__doc__)
    layer = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py's pool refuses the 101st caller, and a storm has more at a time.
        "CONFIG": {"hosts": [{"address": options.redis, "max_connections": 1000}]},
    }
    settings.configure(CHANNEL_LAYERS={"default": layer})
    django.setup()
    serve(options, ProtocolTypeRouter({"websocket": Viewer.as_asgi()}), follow(options))
