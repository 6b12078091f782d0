from __future__ import annotations

import pytest

from hub.broker.handover import Message, Route
from hub.broker.subscriptions import NAMES_A_COMMAND, Subscriptions, UnexpectedReplyError
from tests.support.resp import words


def ignore(route: Route, message: Message) -> None:
    """Nothing arrives in these tests."""


def test_without_a_link_there_is_nothing_to_send() -> None:
    """What is wanted before there is a link is sent when there is one."""
    subscriptions = Subscriptions()
    assert subscriptions.add(b"a", Route("a", ignore)) == b""
    assert subscriptions.add(b"b", Route("b", ignore)) == b""
    assert subscriptions.remove(b"b") == b""
    assert not subscriptions.settled
    [command] = subscriptions.link_made()
    assert words(command) == [b"SUBSCRIBE", b"a"]


def test_a_route_is_live_once_its_name_is_answered() -> None:
    """Before the answer nothing that arrives under the name goes anywhere."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    route = Route("a", ignore)
    assert words(subscriptions.add(b"a", route)) == [b"SUBSCRIBE", b"a"]
    assert subscriptions.live == {}
    assert not subscriptions.settled
    assert subscriptions.answered(b"a") is route
    assert subscriptions.live == {b"a": route}
    assert subscriptions.settled


def test_a_removed_route_is_dead_at_once() -> None:
    """It takes nothing more, though the server has not answered yet."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    route = Route("a", ignore)
    subscriptions.add(b"a", route)
    subscriptions.answered(b"a")
    assert words(subscriptions.remove(b"a")) == [b"UNSUBSCRIBE", b"a"]
    assert subscriptions.live == {}
    assert not route.held
    assert subscriptions.answered(b"a") is None
    assert subscriptions.settled


def test_only_the_last_answer_about_a_name_counts() -> None:
    """Subscribed, unsubscribed and subscribed again in one breath, it is live after three answers:
    between the first and the third the server does not deliver."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    subscriptions.add(b"a", Route("a", ignore))
    subscriptions.remove(b"a")
    again = Route("a", ignore)
    subscriptions.add(b"a", again)
    assert subscriptions.answered(b"a") is None
    assert subscriptions.answered(b"a") is None
    assert subscriptions.live == {}
    assert subscriptions.answered(b"a") is again


def test_removing_what_is_not_wanted_sends_nothing() -> None:
    """It is what a failed subscription is cleaned up with."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    assert subscriptions.remove(b"a") == b""
    assert subscriptions.settled


def test_a_lost_link_takes_everything_with_it() -> None:
    """No route is live and no answer is expected; the next link is told everything again."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    for name in (b"a", b"b", b"c"):
        subscriptions.add(name, Route(name.decode(), ignore))
    subscriptions.answered(b"a")
    subscriptions.remove(b"c")
    subscriptions.link_lost()
    assert subscriptions.live == {}
    assert not subscriptions.settled
    [command] = subscriptions.link_made()
    assert words(command) == [b"SUBSCRIBE", b"a", b"b"]
    assert subscriptions.answered(b"a") is not None
    assert subscriptions.answered(b"b") is not None
    assert subscriptions.settled


def test_many_names_are_sent_in_batches() -> None:
    """One command never names more than the server answers in one go without harm."""
    subscriptions = Subscriptions()
    names = [b"%d" % n for n in range(2 * NAMES_A_COMMAND + 1)]
    for name in names:
        subscriptions.add(name, Route("", ignore))
    commands = [words(command) for command in subscriptions.link_made()]
    assert [len(command) - 1 for command in commands] == [NAMES_A_COMMAND, NAMES_A_COMMAND, 1]
    assert [name for command in commands for name in command[1:]] == names


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    """A server that unsubscribes on its own account would otherwise be trusted for ever."""
    subscriptions = Subscriptions()
    subscriptions.link_made()
    subscriptions.add(b"a", Route("a", ignore))
    subscriptions.answered(b"a")
    with pytest.raises(UnexpectedReplyError):
        subscriptions.answered(b"a")


def test_a_name_is_wanted_once() -> None:
    """Wanting it twice is the caller's mistake."""
    subscriptions = Subscriptions()
    subscriptions.add(b"a", Route("a", ignore))
    with pytest.raises(AssertionError):
        subscriptions.add(b"a", Route("a", ignore))
