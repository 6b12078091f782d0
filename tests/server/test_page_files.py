"""The files of the two pages, over HTTP."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from hub.broker.memory import MemoryBroker
from hub.server import page_files
from hub.server.routes import CONTENT_SECURITY_POLICY
from tests.support.livehub import LiveHub
from tests.support.socket_client import exchange

SCRIPT = b"console.log('hello');" * 100
FILES = {
    "index.html": b'<!doctype html><script type="module" src="/assets/app-Xy12.js"></script>' * 3,
    "icon.svg": b"<svg/>",
    "assets/app-Xy12.js": SCRIPT,
    "assets/app-Zz34.css": b"body{color:red}" * 50,
    "assets/font-Qq56.woff2": bytes(range(256)),
    "assets/other-1.bin": b"x",
    ".sources": b"a stamp of the build",
}


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small build, with a secret beside it."""
    folder = tmp_path / "dashboard"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "secret.txt").write_bytes(b"not to be seen")
    monkeypatch.setattr(page_files, "DASHBOARD", folder)
    return folder


@pytest.fixture
async def http(dashboard: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a hub with that build."""
    async with LiveHub(MemoryBroker()) as live, httpx.AsyncClient(base_url=live.url) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "name", "content_type"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
        ("/assets/app-Xy12.js", "assets/app-Xy12.js", "text/javascript; charset=utf-8"),
        ("/assets/app-Zz34.css", "assets/app-Zz34.css", "text/css; charset=utf-8"),
        ("/assets/font-Qq56.woff2", "assets/font-Qq56.woff2", "font/woff2"),
        ("/assets/other-1.bin", "assets/other-1.bin", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("coding", ["gzip, deflate, br", "identity"])
async def test_each_file_is_served_as_it_was_built(
    http: httpx.AsyncClient, path: str, name: str, content_type: str, coding: str
) -> None:
    """With its type, for good where its name changes with it, and to be asked for elsewhere."""
    response = await http.get(path, headers={"Accept-Encoding": coding})
    assert response.status_code == 200
    assert response.content == FILES[name]
    assert response.headers["Content-Type"] == content_type
    for_good = path.startswith("/assets/")
    expected = "public, max-age=31536000, immutable" if for_good else "no-cache"
    assert response.headers["Cache-Control"] == expected
    assert response.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert response.headers["ETag"]


async def test_compressed_for_those_who_take_it(http: httpx.AsyncClient) -> None:
    """Both are told apart by tag and by Vary; what would not become smaller stays as it is."""
    path = "/assets/app-Xy12.js"
    plain = await http.get(path, headers={"Accept-Encoding": "identity"})
    zipped = await http.get(path, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert int(zipped.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 5
    assert plain.headers["Vary"] == zipped.headers["Vary"] == "Accept-Encoding"
    assert plain.headers["ETag"] != zipped.headers["ETag"]
    font = await http.get("/assets/font-Qq56.woff2", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in font.headers
    assert "Vary" not in font.headers


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_what_a_browser_has_is_not_sent_again(http: httpx.AsyncClient, coding: str) -> None:
    """By the tag of what it would be sent, weak or strong, among others."""
    for path in ("/", "/assets/app-Xy12.js", "/page/", "/page/page.js"):
        first = await http.get(path, headers={"Accept-Encoding": coding})
        tag = first.headers["ETag"]
        for tags in (tag, f'"other", W/{tag}'):
            headers = {"Accept-Encoding": coding, "If-None-Match": tags}
            again = await http.get(path, headers=headers)
            assert (again.status_code, again.content) == (304, b"")
            for name in ("ETag", "Cache-Control", "Vary"):
                assert again.headers[name] == first.headers[name]


async def test_head_says_what_get_would(http: httpx.AsyncClient) -> None:
    """The same headers, and no body; nothing else but GET is taken."""
    for path in ("/", "/assets/app-Xy12.js", "/page/page.css"):
        got, asked = await http.get(path), await http.head(path)
        assert (asked.status_code, asked.content) == (200, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control"):
            assert asked.headers[name] == got.headers[name]
        assert (await http.post(path)).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/assets/%2e%2e/%2e%2e/secret.txt",
        "/assets/..\\..\\secret.txt",
        "/assets//etc/passwd",
        "//etc/passwd",
        "/assets/",
        "/assets",
        "/.sources",
        "/assets/app-Xy12.js/",
        "/page/../../settings.py",
        "/page/%2e%2e/settings.py",
        "/index.html%00.js",
    ],
)
async def test_nothing_but_the_build_is_served(http: httpx.AsyncClient, path: str) -> None:
    """However a path is spelled; what is not there is not kept either."""
    host = urlsplit(str(http.base_url)).netloc
    # As it stands: a client's library would tidy the path up.
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    answer = await exchange(str(http.base_url), request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 307 "))
    assert b"cache-control: no-store" in head.lower()
    assert b"not to be seen" not in body


async def test_without_a_build_the_plain_page_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`/` leads to it, and may lead elsewhere after the next start."""
    monkeypatch.setattr(page_files, "DASHBOARD", tmp_path / "nothing")
    async with LiveHub(MemoryBroker()) as live, httpx.AsyncClient(base_url=live.url) as http:
        response = await http.get("/")
        assert (response.status_code, response.headers["Location"]) == (307, "page/")
        assert response.headers["Cache-Control"] == "no-store"
        shown = await http.get("/", follow_redirects=True)
        assert "<title>Tapecast</title>" in shown.text


async def test_the_plain_page_is_there_beside_the_dashboard(http: httpx.AsyncClient) -> None:
    """Whoever wants it finds it at its own address."""
    shown = await http.get("/page/")
    assert "<title>Tapecast</title>" in shown.text
    assert shown.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5 , br", True),
        ("br;q=1.0, *;q=0.1", True),
        ("*", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("identity", False),
        ("gzip;q=much", False),
        ("xgzip", False),
    ],
)
def test_what_accept_encoding_says(header: str, takes: bool) -> None:
    """gzip where it is named or meant by `*`, and not refused."""
    assert page_files.takes_gzip(header) is takes


def test_every_replica_compresses_alike() -> None:
    """No time is in what is sent: a tag stands for the same bytes wherever it was made."""
    path = Path("assets/app-Xy12.js")
    file = page_files._describe(path, SCRIPT)
    assert file.compressed is not None
    assert file.compressed == page_files._describe(path, SCRIPT).compressed
    assert file.compressed[4:8] == bytes(4)
    assert gzip.decompress(file.compressed) == SCRIPT
