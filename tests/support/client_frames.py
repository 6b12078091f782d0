"""WebSocket frames as a client sends them (RFC 6455 section 5.2), right or wrong on purpose."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x37\xfa\x21\x3d",
    length_width: int | None = None,
    declared: int | None = None,
) -> bytes:
    """Return one frame; what is not given is right.

    `reserved` is the three reserved bits as a number, `length_width` the bytes that the extended
    length takes (0, 2 or 8), `declared` a length that need not be the payload's. A `mask` of None
    leaves the frame unmasked.
    """
    length = len(payload) if declared is None else declared
    if length_width is None:
        length_width = 0 if length < 126 else 2 if length < 65_536 else 8
    short = {0: length, 2: 126, 8: 127}[length_width]
    masked = 0 if mask is None else 0x80
    head = bytes((fin << 7 | reserved << 4 | opcode, masked | short))
    extended = length.to_bytes(length_width, "big") if length_width else b""
    if mask is None:
        return head + extended + payload
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + extended + mask + body


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Return what a close frame carries (5.5.1)."""
    return code.to_bytes(2, "big") + reason
