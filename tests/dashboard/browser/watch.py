"""What pages must not do: complain in the console, break, or ask any other host than their own."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.async_api import Page

HUB_IS_AWAY = r"net::ERR_(CONNECTION_\w+|EMPTY_RESPONSE|INTERNET_DISCONNECTED|SOCKET_NOT_CONNECTED)"
"""What Chromium itself says of each request, or socket, that found no hub."""
REFUSED = r"status of 401 "
"""What it says of each answer to somebody whom the hub does not know."""


class Watch:
    """Keeps what pages did wrong, a breach of their content security policy among it.

    hosts: those that may be asked, with their ports.
    """

    def __init__(self, *hosts: str) -> None:
        self._hosts = set(hosts)
        self._forgiven: list[str] = []
        self._complaints: list[str] = []
        self.urls: list[str] = []
        """Whatever was asked for, sockets too, in order."""

    def allow(self, url: str) -> None:
        """Let pages ask this host too."""
        self._hosts.add(urlsplit(url).netloc)

    def forgive(self, pattern: str) -> None:
        """Expect complaints that match: what a test breaks on purpose, browsers tell by themselves,
        and no script can keep them from it."""
        self._forgiven.append(pattern)

    def follow(self, page: Page) -> None:
        """Watch a page from now on."""
        page.on("console", lambda said: self._complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    @property
    def complaints(self) -> list[str]:
        """What was not expected."""
        expected = re.compile("|".join(self._forgiven) or r"(?!)")
        return [each for each in self._complaints if not expected.search(each)]

    def _asked(self, url: str) -> None:
        self.urls.append(url)
        if urlsplit(url).netloc not in self._hosts:
            self._complaints.append(f"request to {url}")
