"""Alerts as mails, by SMTP.

The standard library's client blocks, so each mail has a thread of its own, one at a time. What a
server refuses with 5xx for this mail would be refused again; anything else may be mended.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import smtplib
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from producers.errors import SinkError
from producers.events import AlertState
from producers.sources.alerts.sinks.base import Notice, Sink, SinkOptions, Surroundings
from producers.sources.alerts.sinks.texts import fields_of
from producers.sources.credentials import require_secret, without_secrets

logger = logging.getLogger(__name__)

MAX_SUBJECT: Final = 200
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
_LINES: Final = ("rule", "state", "channel", "row", "value", "limit", "at", "incident", "id")


class EmailOptions(SinkOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to write to.

    security: how the connection is made safe; "none" is for a server on this machine.
    port: 587, 465 or 25 by security, where it is 0.
    password: the variable that holds it.
    ca_file: certificates to trust instead of the system's.
    """

    host: Annotated[str, Meta(min_length=1)]
    sender: Annotated[str, Meta(min_length=3)] = msgspec.field(name="from")
    to: Annotated[list[str], Meta(min_length=1)]
    security: Literal["starttls", "tls", "none"] = "starttls"
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    username: str = ""
    password: str = ""
    ca_file: str = ""

    def make(self, name: str, surroundings: Surroundings) -> EmailSink:
        for address in (self.sender, *self.to):
            if "@" not in address or any(each.isspace() for each in address):
                raise ValueError(f"expected an address such as desk@example.com, got {address!r}")
        if bool(self.username) != bool(self.password):
            raise ValueError("expected username and password together, got one of them")
        if self.username and self.security == "none":
            raise ValueError("security: expected starttls or tls, since a password is sent")
        password = ""
        if self.password:
            password = require_secret(surroundings.environ, self.password, "the password")
        context = None
        if self.security != "none":
            try:
                context = ssl.create_default_context(cafile=self.ca_file or None)
            except OSError as error:
                raise ValueError(f"ca_file: can't read {self.ca_file}: {error}") from None
        return EmailSink(name, self, password, context)


class EmailSink(Sink):
    """One server, and who is written to."""

    def __init__(
        self, name: str, options: EmailOptions, password: str, context: ssl.SSLContext | None
    ) -> None:
        self.name = name
        self._options = options
        self._password = password
        self._context = context
        self._sending: asyncio.Future[None] | None = None

    async def deliver(self, notice: Notice) -> None:
        if self._sending is not None and not self._sending.done():
            # A server that hangs keeps one thread, and not one for each try.
            await asyncio.wait([self._sending])
        self._sending = _in_thread(lambda: self._send(notice))
        try:
            # Cancelling does not end the thread, which ends by its own timeout.
            await asyncio.shield(self._sending)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _said in error.recipients.values()]
            raise SinkError(
                f"all of {', '.join(error.recipients)} were refused: {codes}",
                is_lasting=all(code >= 500 for code in codes),
            ) from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            is_lasting = error.smtp_code >= 500
            raise SinkError(self._shown(error), is_lasting=is_lasting) from None
        except (smtplib.SMTPException, OSError) as error:
            raise SinkError(self._shown(error)) from None

    def _shown(self, error: Exception) -> str:
        return without_secrets(f"could not mail: {error or type(error).__name__}", [self._password])

    def _send(self, notice: Notice) -> None:
        options = self._options
        port = options.port or _PORTS[options.security]
        seconds = options.timeout_seconds
        if options.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                options.host, port, timeout=seconds, context=self._context
            )
        else:
            server = smtplib.SMTP(options.host, port, timeout=seconds)
        with server:
            if options.security == "starttls":
                server.starttls(context=self._context)
            if options.username:
                server.login(options.username, self._password)
            refused = server.send_message(mail_of(notice, options.sender, options.to))
        if refused:
            logger.warning("%s: refused for %s", self.name, ", ".join(refused))


def mail_of(notice: Notice, sender: str, to: list[str]) -> EmailMessage:
    """The mail: a short subject, the detail, and the rest a line each.

    Its id is the notice's, so that one that comes twice can be told; what begins and what ends an
    incident stand in one thread.
    """
    alert = notice.alert
    mail = EmailMessage()
    word = "RESOLVED" if alert.state is AlertState.RESOLVED else alert.severity.upper()
    title = alert.title.removeprefix("Resolved: ")
    mail["Subject"] = " ".join(f"[{word}] {title}".split())[:MAX_SUBJECT]
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Date"] = format_datetime(datetime.fromtimestamp(notice.at_us / 1e6, UTC))
    mail["Message-ID"] = f"<{notice.id}@tapecast.invalid>"
    mail["Auto-Submitted"] = "auto-generated"
    if alert.incident is not None:
        incident = hashlib.sha256(alert.incident.encode()).hexdigest()[:32]
        mail["References"] = f"<{incident}@tapecast.invalid>"
    fields = fields_of(notice)
    lines = [f"{name}: {fields[name]}" for name in _LINES if fields.get(name) is not None]
    mail.set_content("\n".join([alert.title, alert.detail or "", "", *lines]))
    return mail


def _in_thread(work: Callable[[], None]) -> asyncio.Future[None]:
    """Do it in a thread that nobody waits for at exit, unlike those of a pool."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    # Whoever waited may have gone.
    done.add_done_callback(lambda done: done.cancelled() or done.exception())

    def settle(error: Exception | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

    def run() -> None:
        failure: Exception | None = None
        try:
            work()
        # Handed to whoever waits.
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, failure)

    threading.Thread(target=run, name="mail", daemon=True).start()
    return done
