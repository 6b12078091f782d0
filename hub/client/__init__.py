"""The Python client: the same protocol, seen from the other side."""

from hub.client.client import Client, Link, LinkState, Published
from hub.client.errors import ClientError, Closed, Forbidden, Refused, Unauthorized
from hub.client.frames import Cause, Frame, Recovered, Reset, Snapshot, StateChanged, Update
from hub.client.state import LogState, State, TableState, ValueState, state_of
from hub.client.subscription import Subscription

__all__ = [
    "Cause",
    "Client",
    "ClientError",
    "Closed",
    "Forbidden",
    "Frame",
    "Link",
    "LinkState",
    "LogState",
    "Published",
    "Recovered",
    "Refused",
    "Reset",
    "Snapshot",
    "State",
    "StateChanged",
    "Subscription",
    "TableState",
    "Unauthorized",
    "Update",
    "ValueState",
    "state_of",
]
