"""Tests of hub.core.subscription."""

from __future__ import annotations

from hub.core.limits import Limits
from hub.protocol.streams import Kind
from tests.core.model_client import ModelClient
from tests.core.model_hub import ModelHub, Transport


def test_a_subscription_knows_its_session_and_its_channel() -> None:
    """From a place in an audience the shell finds the connection, the channel and its head."""
    hub = ModelHub([Kind.LOG], Limits())
    client = ModelClient()
    link = hub.connect(client, Transport())
    hub.say(link, client.subscribe("decisions", resume=False))
    hub.hear(hub.channels["decisions"].put(b"1"))
    subscription = link.session.outbox.subscriptions["decisions"]
    assert subscription.session is link.session
    assert subscription.channel == "decisions"
    assert subscription.head == 1
