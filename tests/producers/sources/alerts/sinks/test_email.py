"""producers/sources/alerts/sinks/email.py: mails, to a real server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from producers.errors import SinkError
from producers.events import AlertState
from producers.settings import BadSettings
from producers.sources.alerts.sinks.base import Sink, Surroundings
from producers.sources.alerts.sinks.kinds import make, read_sinks
from tests.producers.sources.alerts.sinks.notices import notice
from tests.support.smtp import MailServer, certificate

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def sink(port: int = 25, environ: dict[str, str] | None = None, **fields: Any) -> Sink:
    """A sink with these fields, besides those that every one needs."""
    given = {
        "kind": "email", "host": "localhost", "from": "tapecast@example.com",
        "to": ["desk@example.com", "risk@example.com"], "security": "none", "port": port, **fields,
    }  # fmt: skip
    options = read_sinks({"mail": given})["mail"]
    return make("mail", options, Surroundings(environ or {}, "unix:///nowhere"))


async def test_what_begins_and_what_ends() -> None:
    """Both mails say what people need, stand in one thread, and have ids of their own."""
    server = MailServer()
    async with server.serving():
        mail = sink(server.port)
        await mail.deliver(notice())
        over = {"state": AlertState.RESOLVED, "title": "Resolved: portfolio: drawdown of 6%"}
        await mail.deliver(notice("e-2-0b", **over))
    first, second = server.mails
    assert first["Subject"] == "[CRITICAL] portfolio: drawdown of 6%"
    assert second["Subject"] == "[RESOLVED] portfolio: drawdown of 6%"
    assert first["References"] == second["References"]
    assert (first["Message-ID"], second["Message-ID"]) == (
        "<e-1-0a@tapecast.invalid>", "<e-2-0b@tapecast.invalid>",
    )  # fmt: skip
    assert first["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert "equity 9400, peak 10000" in first.get_content()
    assert "value: 6.0\r\nlimit: 5\r\n" in first.get_content()
    assert server.recipients[0] == ["desk@example.com", "risk@example.com"]


async def test_a_title_is_no_header() -> None:
    """Lines in a title stay within the subject, and an alert may be in any script."""
    server = MailServer()
    async with server.serving():
        await sink(server.port).deliver(notice(title="Größe\r\nBcc: x@example.com"))
    [mail] = server.mails
    assert mail["Subject"] == "[CRITICAL] Größe Bcc: x@example.com"
    assert mail["Bcc"] is None


@pytest.mark.optional("CI installs no openssl")
@needs_openssl
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_password_travels_within_tls(security: str, tmp_path: Path) -> None:
    """Also where TLS begins later; and who is not vouched for gets nothing."""
    context, ca_file = certificate(tmp_path)
    server = MailServer(context)
    login: dict[str, Any] = {"security": security, "username": "me", "password": "MAIL_PASSWORD"}
    environ = {"MAIL_PASSWORD": "a-password"}
    async with server.serving(from_the_first_byte=security == "tls"):
        with pytest.raises(SinkError, match=r"could not mail: .*certificate"):
            await sink(server.port, environ, **login).deliver(notice())
        await sink(server.port, environ, **login, ca_file=str(ca_file)).deliver(notice())
    assert server.logins == [("me", "a-password")]
    assert server.were_safe == [True]


@pytest.mark.parametrize(
    ("verb", "answer", "is_lasting"),
    [
        ("RCPT", "550 no such user", True),
        ("RCPT", "450 try later", False),
        ("MAIL", "553 not yours", True),
        ("DATA", "554 spam", True),
        ("DATA", "451 try later", False),
        ("EHLO", "421 too busy", False),
    ],
)
async def test_a_refusal_says_whether_it_lasts(verb: str, answer: str, is_lasting: bool) -> None:
    """What would be refused again is given up; anything else is tried again."""
    server = MailServer()
    server.answers = {verb: answer, "HELO": answer}
    async with server.serving():
        with pytest.raises(SinkError, match=answer[:3]) as caught:
            await sink(server.port).deliver(notice())
    assert caught.value.is_lasting is is_lasting
    assert server.mails == []


async def test_nobody_is_there() -> None:
    """A port that nobody listens on is tried again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SinkError, match="could not mail") as caught:
            await sink(taken.getsockname()[1]).deliver(notice())
    assert not caught.value.is_lasting


async def test_a_server_that_hangs_keeps_one_thread() -> None:
    """However often it is tried; the next try waits for the thread, and goes on when it ended."""
    server = MailServer()
    server.hangs = True
    async with server.serving():
        mail = sink(server.port, timeout_seconds=2)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await mail.deliver(notice())
        assert sum(thread.name == "mail" for thread in threading.enumerate()) == 1
        server.hangs = False
        await mail.deliver(notice())
    assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"to": []}, "to"),
        ({"to": ["desk"]}, "expected an address such as .*, got 'desk'"),
        ({"from": "a@b\nBcc: x"}, "expected an address"),
        ({"username": "me"}, "expected username and password together"),
        ({"username": "me", "password": "X"}, "expected starttls or tls"),
        ({"username": "me", "password": "X", "security": "tls"}, "the password in X"),
        ({"security": "starttls", "ca_file": "/nowhere.pem"}, "ca_file: can't read /nowhere.pem"),
        ({"security": "ssl"}, "ssl"),
        ({"kind": "mail"}, "kind: expected one of .*, got 'mail'"),
    ],
)
def test_what_is_wrong_is_told(fields: dict[str, Any], told: str) -> None:
    """With the sink's name, before anything runs."""
    with pytest.raises((ValueError, BadSettings), match=rf"sinks\.mail: .*{told}"):
        sink(**fields)
