"""What a client may ask of the hub."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hub.protocol.commands import NotACommand, Publish, decode_command
from hub.protocol.errors import CommandError
from tests.support.vectors import vectors

COMMANDS = vectors("commands")


@pytest.mark.parametrize("case", COMMANDS["accepted"], ids=lambda case: str(case["text"])[:60])
def test_commands_are_read(case: dict[str, Any]) -> None:
    """Each accepted command is read as its method, with defaults where nothing was said."""
    for text in (case["text"], case["text"].encode()):
        command = decode_command(text)
        assert command.id == case["id"]
        assert type(command.params).__name__.lower() == case["method"]
        assert msgspec.to_builtins(_decoded(command.params)) == case["params"]


def _decoded(params: Any) -> Any:
    if isinstance(params, Publish):
        fields = msgspec.structs.asdict(params)
        return {**fields, "data": msgspec.json.decode(params.data)}
    return params


@pytest.mark.parametrize("case", COMMANDS["refused"], ids=lambda case: str(case["why"]))
def test_other_texts_are_refused(case: dict[str, Any]) -> None:
    """Each refused text says under which id and with which code, and whether it is a strike."""
    with pytest.raises(CommandError) as refusal:
        decode_command(case["text"])
    assert refusal.value.id == case["id"]
    assert refusal.value.code.number == case["code"]
    assert isinstance(refusal.value, NotACommand) is case["strike"]
    assert len(refusal.value.message) < 500


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        '{"id":1,"method":"\ud800"}',
        b'{"id":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"id":1,"method":"publish","params":{"channel":"a","event":"e","data":' + b"[" * 60_000,
    ],
    ids=["no UTF-8", "a lone surrogate", "an id too deep", "data too deep"],
)
def test_poison_is_no_command(text: bytes | str) -> None:
    """What no JSON reader takes is refused as such, without another exception."""
    with pytest.raises(NotACommand, match="expected one JSON object"):
        decode_command(text)


@pytest.mark.parametrize(
    "params",
    [b'{"token":"\xff"}', b'{"token":{"a":' + b"[" * 500 + b"]" * 500 + b"}}"],
    ids=["no UTF-8", "too deep"],
)
def test_poison_in_parameters_is_answered(params: bytes) -> None:
    """Parameters that can't be read are answered under the command's id."""
    with pytest.raises(CommandError) as refusal:
        decode_command(b'{"id":3,"method":"auth","params":' + params + b"}")
    assert refusal.value.id == 3


def test_a_long_method_is_not_repeated_whole() -> None:
    """An error shows the beginning of what was asked for."""
    with pytest.raises(CommandError) as refusal:
        decode_command(b'{"id":1,"method":"' + b"x" * 50_000 + b'"}')
    assert len(refusal.value.message) < 300
