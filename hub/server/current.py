"""A channel as it is now, for those who ask once."""

from __future__ import annotations

from hub.core.feed import Feed
from hub.protocol.streams import Kind, stream_options
from hub.server.hub import Hub
from hub.server.listing import feed_of


async def current_feed(hub: Hub, channel: str) -> Feed | None:
    """The channel's live feed, or one made for this question; None where nothing was published to
    it. Raises BrokerUnavailableError."""
    audience = hub.registry.get(channel)
    if audience is not None and audience.feed.position.epoch:
        return audience.feed
    options = stream_options(channel, hub.streams)
    is_log = await hub.ingest.kind_of(channel) is Kind.LOG
    reading = await hub.broker.read(channel, None, options.history if is_log else 1)
    if reading.position is None:
        return None
    return feed_of(reading, hub.streams, hub.clock())
