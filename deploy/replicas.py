#!/usr/bin/env python3
"""Three hubs behind HAProxy on this machine, and their restart one after another.

    export TAPECAST_JWT_SECRET=... TAPECAST_REDIS_URL=redis://db.internal:6379/0
    deploy/replicas.py           start; Ctrl-C or SIGTERM drains them all
    kill -HUP PID                restart one after another, so that no client notices

Needs `tapecast` and `haproxy` on PATH. Hubs take their settings from the environment as ever, but
for the address. `Replicas.restart` has the steps of a restart; they are the same on many machines.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

CONFIG = Path(__file__).parent / "haproxy.cfg"
NAMES = ("hub1", "hub2", "hub3")
LOOK_SECONDS = 0.1
START_SECONDS = 30.0
YOUNG_SECONDS = 5.0
"""A hub that fails so soon would fail again."""
END_SECONDS = 60.0
"""More than a drain takes; see drain_seconds in docs/operations.md."""


class Hub:
    """One replica: a process that ends and is started again, on a port of its own."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.address = f"127.0.0.1:{port}"
        self._command = ["tapecast", "serve", "--host", "127.0.0.1", "--port", str(port)]
        self.start()

    def start(self) -> None:
        """Start it; it is ready later."""
        # In a session of its own, so that Ctrl-C in a terminal reaches this program alone.
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/readyz", timeout=2):
                return True
        except OSError:
            return False

    def wait(self) -> None:
        """Return when it has ended."""
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{self.name}: did not end in {END_SECONDS:.0f} s, is killed")
            self.process.kill()
            self.process.wait()


class Proxy:
    """HAProxy on deploy/haproxy.cfg, and its socket for commands."""

    def __init__(self, bind: str, hubs: list[Hub], folder: str) -> None:
        self._socket = f"{folder}/haproxy.sock"
        hub_addresses = {hub.name.upper(): hub.address for hub in hubs}
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", CONFIG],
            env={**os.environ, **hub_addresses, "BIND": bind, "ADMIN_SOCKET": self._socket},
            start_new_session=True,
        )

    def set_state(self, hub: Hub, state: str) -> None:
        """`drain`: no new connections, and those that are open stay. `ready`: as the checks say."""
        answer = self._ask(f"set server hubs/{hub.name} state {state}").strip()
        if answer:
            sys.exit(f"haproxy refused to set {hub.name} to {state}: {answer}")

    def serves(self, hub: Hub) -> bool:
        """Whether it sends new connections there."""
        try:
            rows = csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines())
        except OSError:
            return False
        return any(row["svname"] == hub.name and row["status"] == "UP" for row in rows)

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self._socket)
            link.sendall(f"{command}\n".encode())
            with link.makefile() as answer:
                return answer.read()


class Wishes:
    """What signals ask for; granted when its time comes."""

    def __init__(self) -> None:
        self.end = False
        self.restart = False
        signal.signal(signal.SIGINT, self._take)
        signal.signal(signal.SIGTERM, self._take)
        signal.signal(signal.SIGHUP, self._take)

    def _take(self, sig: int, frame: object) -> None:
        if sig == signal.SIGHUP:
            self.restart = True
        else:
            self.end = True


class Replicas:
    """Hubs that serve, and their proxy."""

    def __init__(self, hubs: list[Hub], proxy: Proxy, wishes: Wishes) -> None:
        self._hubs = hubs
        self._proxy = proxy
        self._wishes = wishes

    def serve(self) -> None:
        """Grant wishes until the end is wanted."""
        while not self._wishes.end:
            if self._wishes.restart:
                self._wishes.restart = False
                self.restart_all()
            self.look_after()
            time.sleep(LOOK_SECONDS)

    def restart_all(self) -> None:
        """Restart one hub after another, each only while all the others serve."""
        for hub in self._hubs:
            self.until(self.all_serve, "every hub to be up")
            self.restart(hub)
        say("every hub was restarted")

    def restart(self, hub: Hub) -> None:
        """Restart one hub. Its clients leave it a few at a time, and resume at the others."""
        self._proxy.set_state(hub, "drain")
        say(f"{hub.name}: out of the proxy")
        hub.process.terminate()
        hub.wait()
        say(f"{hub.name}: drained")
        hub.start()
        self.until(hub.is_ready, f"{hub.name} to be ready")
        self._proxy.set_state(hub, "ready")
        self.until(lambda: self._proxy.serves(hub), f"haproxy to take {hub.name} back")
        say(f"{hub.name}: back")

    def all_serve(self) -> bool:
        """Whether new connections go to every hub."""
        return all(self._proxy.serves(hub) for hub in self._hubs)

    def look_after(self) -> None:
        """Start a hub again that ended. Without the proxy there is nothing to look after."""
        if self._proxy.process.poll() is not None:
            sys.exit("haproxy has ended; its reason is above")
        for hub in self._hubs:
            status = hub.process.poll()
            if status is not None:
                if status and time.monotonic() - hub.started_at < YOUNG_SECONDS:
                    sys.exit(f"{hub.name} failed when it had just started; its reason is above")
                say(f"{hub.name}: ended, is started again")
                hub.start()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once it is so; end the program where it takes too long, or its end is wanted."""
        give_up_at = time.monotonic() + START_SECONDS
        while not condition():
            self.look_after()
            if self._wishes.end:
                sys.exit()
            if time.monotonic() > give_up_at:
                sys.exit(f"waited {START_SECONDS:.0f} s for {what}")
            time.sleep(LOOK_SECONDS)


def wait_until_ready(hubs: list[Hub], wishes: Wishes) -> None:
    """Return when all hubs are up; one that can't start ends the program."""
    while not all(hub.is_ready() for hub in hubs):
        for hub in hubs:
            if hub.process.poll() is not None:
                sys.exit(f"{hub.name} has ended; its reason is above")
        if wishes.end:
            sys.exit()
        time.sleep(LOOK_SECONDS)


def check_free(addresses: list[str]) -> None:
    """End the program where an address can't be listened on. (HAProxy would share it.)"""
    for address in addresses:
        host, _, port = address.rpartition(":")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host.strip("*"), int(port)))
            except OSError as error:
                sys.exit(f"cannot listen on {address}: {error.strerror}; see --bind and --hub-port")


def drain(hubs: list[Hub]) -> None:
    """End those that run, all at once."""
    for hub in hubs:
        hub.process.terminate()
    for hub in hubs:
        hub.wait()


def run(bind: str, first_port: int, wishes: Wishes) -> None:
    """Start everything, serve until the end is wanted, and end everything."""
    ports = range(first_port, first_port + len(NAMES))
    check_free([bind, *(f"127.0.0.1:{port}" for port in ports)])
    hubs = [Hub(name, port) for name, port in zip(NAMES, ports, strict=True)]
    try:
        wait_until_ready(hubs, wishes)
        with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
            proxy = Proxy(bind, hubs, folder)
            replicas = Replicas(hubs, proxy, wishes)
            try:
                replicas.until(replicas.all_serve, "haproxy to see every hub")
                say(f"http://{bind} is served by {', '.join(hub.address for hub in hubs)}")
                say(f"kill -HUP {os.getpid()} restarts them one after another")
                replicas.serve()
            finally:
                # The hubs first: their clients hear of it through the proxy.
                drain(hubs)
                proxy.process.terminate()
                proxy.process.wait()
    finally:
        drain(hubs)


def say(what: str) -> None:
    """Print a line at once, also into a pipe."""
    print(what, flush=True)


def main() -> None:
    """Read the options, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bind", default="127.0.0.1:8000", help="where the proxy listens")
    parser.add_argument("--hub-port", type=int, default=8001, help="the first hub's; then the next")
    options = parser.parse_args()
    for program in ("tapecast", "haproxy"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not on PATH: install it, or activate its environment")
    run(options.bind, options.hub_port, Wishes())


if __name__ == "__main__":
    main()
