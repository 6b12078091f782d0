from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from hub.broker.base import BrokerUnavailableError, Link
from hub.broker.handover import Message
from hub.broker.pubsub import Endpoint, PubSubReader
from hub.broker.subscriptions import NAMES_A_COMMAND
from hub.broker.timing import Timing
from tests.support.brokers import DEADLINE_SECONDS, eventually
from tests.support.resp import FakeServer, closed, confirmations, ended, this_task
from tests.support.valkey import Valkey

HASTY = Timing(
    connect_seconds=1.0,
    subscribe_seconds=0.5,
    ping_seconds=0.1,
    pong_seconds=0.2,
    retry_least_seconds=0.01,
    retry_most_seconds=0.05,
)
PATIENT = Timing(retry_least_seconds=0.01, retry_most_seconds=0.05)


@contextlib.asynccontextmanager
async def running(
    url: str, timing: Timing = PATIENT, hand_over_bytes: int = 1_000_000
) -> AsyncIterator[PubSubReader]:
    """A reader whose link is kept for as long as the context lasts."""
    reader = PubSubReader(Endpoint.from_url(url), timing, hand_over_bytes=hand_over_bytes)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task


async def follow(reader: PubSubReader, *names: str) -> None:
    for name in names:
        await reader.subscribe(name.encode(), reader.route(name))


async def hear(reader: PubSubReader) -> tuple[str, Message]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return await reader.next_message()


def client_of(valkey: Valkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(valkey.socket))


def pubsub_links(client: redis.Redis) -> list[str]:
    found: Any = client.client_list(_type="pubsub")
    return [link["id"] for link in found]


def idle_seconds(client: redis.Redis) -> int:
    """How long the one pub/sub link has sent nothing."""
    found: Any = client.client_list(_type="pubsub")
    return int(found[0]["idle"]) if found else 0


async def test_a_killed_link_is_mended_and_says_so(valkey: Valkey) -> None:
    """After CLIENT KILL every name says RESTORED once, and hears what is published after it."""
    async with running(valkey.url) as reader:
        with client_of(valkey) as client:
            await follow(reader, "a", "b")
            for n in range(5):
                client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                assert sorted([await hear(reader), await hear(reader)]) == [
                    ("a", Link.RESTORED),
                    ("b", Link.RESTORED),
                ]
                client.publish("b", str(n))
                assert await hear(reader) == ("b", str(n).encode())


async def test_a_killed_server_is_awaited(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """However long it is away, its return is noticed."""
    async with running(valkey.url, HASTY) as reader:
        await follow(reader, "a")
        valkey.kill()
        await eventually(lambda: caplog.text.count("trying again") > 5, "some attempts")
        await asyncio.to_thread(valkey.start)
        assert await hear(reader) == ("a", Link.RESTORED)
        with client_of(valkey) as client:
            client.publish("a", "1")
        assert await hear(reader) == ("a", b"1")


async def test_a_frozen_server_is_noticed(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    """A link that does not answer PING is cut; after the thaw everything is restored."""
    async with running(valkey.url, HASTY) as reader:
        await follow(reader, "a")
        valkey.freeze()
        await eventually(lambda: "no answer to PING" in caplog.text, "the silence is noticed")
        valkey.thaw()
        assert await hear(reader) == ("a", Link.RESTORED)


async def test_a_quiet_link_is_kept(tmp_path: Path) -> None:
    """A link on which nothing is published answers PING, and is not cut for its silence."""

    def behave(command: list[bytes]) -> bytes:
        return b"*2\r\n$4\r\npong\r\n$0\r\n\r\n" if command == [b"PING"] else confirmations(command)

    async with FakeServer(tmp_path, behave) as server, running(server.url, HASTY) as reader:
        await follow(reader, "a")
        await eventually(lambda: server.commands.count([b"PING"]) >= 5, "five PINGs")
        assert server.links == 1


async def test_a_name_is_not_followed_after_its_deadline(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Subscribing to a frozen server fails in time and leaves nothing behind."""
    async with running(valkey.url, HASTY) as reader:
        await follow(reader, "a")
        valkey.freeze()
        with pytest.raises(BrokerUnavailableError, match="no confirmation"):
            await follow(reader, "b")
        valkey.thaw()
        await follow(reader, "b")
        with client_of(valkey) as client:
            assert client.pubsub_numsub("a", "b") == [(b"a", 1), (b"b", 1)]
            client.publish("b", "1")
        assert await hear(reader) in [("a", Link.RESTORED), ("b", b"1")]


async def test_subscribing_waits_for_a_server_that_comes_in_time(valkey: Valkey) -> None:
    """The first subscriptions of a hub that starts before its Redis succeed, without RESTORED."""
    valkey.kill()
    async with running(valkey.url) as reader:
        subscribing = asyncio.create_task(follow(reader, "a"))
        await asyncio.to_thread(valkey.start)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await subscribing
        with client_of(valkey) as client:
            client.publish("a", "1")
        assert await hear(reader) == ("a", b"1")


async def test_a_cancelled_subscription_is_not_held(valkey: Valkey) -> None:
    """Whoever gives up waiting for the confirmation follows nothing."""
    async with running(valkey.url) as reader:
        await follow(reader, "a")
        subscribing = asyncio.create_task(follow(reader, "b"))
        await asyncio.sleep(0)
        subscribing.cancel()
        await asyncio.wait([subscribing])
        assert subscribing.cancelled()
        await follow(reader, "c")
        with client_of(valkey) as client:
            assert client.pubsub_numsub("b") == [(b"b", 0)]
        await follow(reader, "b")


async def test_a_name_that_flaps_hears_what_follows_its_last_confirmation(valkey: Valkey) -> None:
    """Unsubscribed and subscribed again at once, a confirmation of before is not taken for the
    new one."""
    async with running(valkey.url) as reader:
        with client_of(valkey) as client:
            await follow(reader, "a")
            for n in range(50):
                reader.unsubscribe(b"a")
                await follow(reader, "a")
                client.publish("a", str(n))
                assert await hear(reader) == ("a", str(n).encode())


async def test_many_names_come_back(valkey: Valkey) -> None:
    """More names than one command takes are all restored."""
    names = [f"name-{n}" for n in range(2 * NAMES_A_COMMAND + 1)]
    async with running(valkey.url) as reader:
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(follow(reader, name))
        with client_of(valkey) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        restored = [await hear(reader) for _ in names]
        assert sorted(restored) == sorted((name, Link.RESTORED) for name in names)


async def test_a_slow_reader_holds_the_link_up(valkey: Valkey) -> None:
    """When the hand-over is full the link is read no further; nothing is lost, and what waits
    here stays bounded."""
    count, size, bound = 2_000, 5_000, 100_000
    async with running(valkey.url, HASTY, hand_over_bytes=bound) as reader:
        await follow(reader, "a")
        with client_of(valkey) as client:
            links = pubsub_links(client)
            for n in range(count):
                client.publish("a", b"%d" % n + b"x" * size)
            # Much longer than a link that is read may be silent.
            await eventually(lambda: idle_seconds(client) >= 2, "the link idles")
            heard = []
            for _ in range(count):
                channel, message = await hear(reader)
                assert isinstance(message, bytes), (channel, message)
                heard.append(int(message.rstrip(b"x")))
                # One read from the socket more than the bound.
                assert reader._hand_over.waiting_bytes < bound + 512 * 1024
            assert heard == list(range(count))
            # Not reading is not taken for silence: the link is the one it was.
            assert pubsub_links(client) == links


async def test_a_link_that_redis_cuts_for_its_backlog_is_restored(valkey: Valkey) -> None:
    """Where a reader stays behind for too long, Redis gives it up, and the new link says so."""
    with client_of(valkey) as client:
        client.config_set("client-output-buffer-limit", "pubsub 1mb 1mb 1")
        async with running(valkey.url, hand_over_bytes=10_000) as reader:
            await follow(reader, "a")
            first = pubsub_links(client)
            while first == pubsub_links(client):
                client.publish("a", b"x" * 10_000)
                await asyncio.sleep(0)
            while (await hear(reader))[1] != Link.RESTORED:
                pass
            client.publish("a", "after")
            assert await hear(reader) == ("a", b"after")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"+HELLO THERE\r\n", id="a reply to nothing"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="another protocol"),
        pytest.param(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nz\r\n:1\r\n", id="another name"),
        pytest.param(b"-NOPERM no permissions to access a channel\r\n", id="an error"),
        pytest.param(b"*0\r\n", id="an empty array"),
        pytest.param(b"*-1\r\n", id="a null"),
        pytest.param(b":1\r\n", id="a number"),
    ],
)
async def test_a_server_that_makes_no_sense_is_left_and_tried_again(
    tmp_path: Path, answer: bytes
) -> None:
    """A link that says what it can't is not trusted; the next one may be right."""
    server: FakeServer

    def behave(command: list[bytes]) -> bytes:
        return answer if server.links < 3 else confirmations(command)

    async with FakeServer(tmp_path, behave) as server, running(server.url) as reader:
        await follow(reader, "a")
        assert server.links == 3


async def test_a_password_is_sent_and_never_logged(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL's credentials open the link; wrong ones are tried again and again, unseen."""
    caplog.set_level(logging.DEBUG)
    with client_of(valkey) as client:
        client.execute_command(
            *["ACL", "SETUSER", "hub", "on", ">hub-secret", "allchannels", "+@all"]
        )
        client.config_set("requirepass", "open-sesame")
    for credentials in ("password=open-sesame", "username=hub&password=hub-secret"):
        async with running(f"{valkey.url}?{credentials}") as reader:
            await follow(reader, "a")
    async with running(f"{valkey.url}?password=wrong-guess", HASTY) as reader:
        with pytest.raises(BrokerUnavailableError):
            await follow(reader, "a")
    assert "WRONGPASS" in caplog.text
    for secret in ("open-sesame", "hub-secret", "wrong-guess"):
        assert secret not in caplog.text


@contextlib.asynccontextmanager
async def port_before(valkey: Valkey, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port whose connections go on to the server; TLS, where it is asked for, ends there."""
    links: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.add(this_task())
        inner_reader, inner_writer = await asyncio.open_unix_connection(valkey.socket)
        try:
            await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))
        finally:
            await closed(writer)
            await closed(inner_writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await ended(links)


async def test_it_reads_over_tcp(valkey: Valkey) -> None:
    """The usual case; the database's number makes no difference to pub/sub."""
    async with port_before(valkey) as port, running(f"redis://127.0.0.1:{port}/3") as reader:
        await follow(reader, "a")
        with client_of(valkey) as client:
            client.publish("a", "1")
        assert await hear(reader) == ("a", b"1")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path), "-out", str(tmp_path / "part.pem")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    with path.open("a") as whole:
        whole.write((tmp_path / "part.pem").read_text())
    return path


async def test_it_reads_over_tls(
    valkey: Valkey, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's certificate is checked, by the URL's own authority where it names one."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with port_before(valkey, tls) as port:
        async with running(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}") as reader:
            await follow(reader, "a")
            with client_of(valkey) as client:
                client.publish("a", "1")
            assert await hear(reader) == ("a", b"1")
        async with running(f"rediss://127.0.0.1:{port}", HASTY) as reader:
            with pytest.raises(BrokerUnavailableError):
                await follow(reader, "a")
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_an_endpoint_shows_no_credentials() -> None:
    """What is logged of a URL is where it points."""
    assert str(Endpoint.from_url("redis://hub:secret@redis.example:6380/2")) == "redis.example:6380"
    assert str(Endpoint.from_url("unix:///run/valkey.sock?password=secret")) == "/run/valkey.sock"


def test_a_url_of_another_kind_is_refused() -> None:
    """Only Redis' own schemes are read."""
    with pytest.raises(ValueError, match="redis://"):
        Endpoint.from_url("http://localhost")
