"""Opens so many connections to a port of this machine, and reads whatever comes."""

from __future__ import annotations

import selectors
import socket
import sys

READ_BYTES = 65_536


def main(port: int, connections: int) -> None:
    """Read until a connection ends."""
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            link = socket.create_connection(("127.0.0.1", port))
            link.setblocking(False)
            selector.register(link, selectors.EVENT_READ, link)
        while all(key.data.recv(READ_BYTES) for key, _ in selector.select()):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
