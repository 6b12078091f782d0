"""A mail server for tests, on a real port: it takes mails and keeps them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path


class MailServer:
    """Answers each verb as SMTP has it, or with what `answers` has for it.

    hangs: after its greeting it says nothing any more.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[tuple[str, str]] = []
        self.were_safe: list[bool] = []
        self.answers: dict[str, str] = {}
        self.hangs = False
        self.links = 0
        self.port = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, *, from_the_first_byte: bool = False) -> AsyncIterator[None]:
        """Listen on 127.0.0.1 until the block is left."""
        context = self._tls if from_the_first_byte else None
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.links += 1
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            # asyncio would log what a handler raises.
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")

        say("220 here")
        to: list[str] = []
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            if self.hangs:
                await asyncio.Event().wait()
            is_safe = writer.get_extra_info("ssl_object") is not None
            match verb.upper():
                case word if word in self.answers:
                    say(self.answers[word])
                case "EHLO":
                    say("250-here")
                    if self._tls is not None and not is_safe:
                        say("250-STARTTLS")
                    say("250 AUTH PLAIN")
                case "STARTTLS":
                    say("220 go on")
                    assert self._tls is not None
                    await writer.start_tls(self._tls)
                case "AUTH":
                    _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                    self.logins.append((user, password))
                    say("235 welcome")
                case "RCPT":
                    to.append(rest.partition("<")[2].partition(">")[0])
                    say("250 ok")
                case "DATA":
                    say("354 go on")
                    body = await reader.readuntil(b"\r\n.\r\n")
                    mail = message_from_bytes(body[:-3], policy=policy.default)
                    assert isinstance(mail, EmailMessage)
                    self.mails.append(mail)
                    self.recipients.append(to)
                    self.were_safe.append(is_safe)
                    to = []
                    say("250 taken")
                case "QUIT":
                    say("221 bye")
                    return
                case _:
                    say("250 ok")


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A context for a server on localhost, and the file with what vouches for it. Needs openssl."""
    made = folder / "localhost.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost",
        "-keyout", str(made), "-out", str(folder / "ca.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.pem", made)
    return context, folder / "ca.pem"
