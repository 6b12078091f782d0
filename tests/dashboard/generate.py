"""Writes the dashboard's types of the protocol: `make types`."""

from __future__ import annotations

import enum
import inspect
from pathlib import Path
from typing import Any, get_args

from msgspec import UNSET
from msgspec import inspect as shapes

from hub.protocol import schema
from hub.protocol.agent_commands import CommandState
from hub.protocol.codes import TABLE
from hub.protocol.commands import MAX_INTERVAL_MS, Params
from hub.protocol.frames import SUBPROTOCOL, ChannelState
from hub.protocol.position import Position
from hub.protocol.streams import KNOWN, MAX_HISTORY, Kind
from hub.server.settings import Settings
from producers import events

_SRC = Path(__file__).parents[2] / "dashboard" / "src"
PROTOCOL_TS = _SRC / "client" / "protocol.ts"
PAYLOADS_TS = _SRC / "react" / "payloads.ts"

_HEAD = f"""\
// Generated from hub/protocol by `make types`, and compared with it by a test: don't edit.

/** The sub-protocol that a client offers. */
export const SUBPROTOCOL = "{SUBPROTOCOL}";
/** The longest interval of a subscription. */
export const MAX_INTERVAL_MS = {MAX_INTERVAL_MS};
/** The most entries that a log's snapshot has. */
export const MAX_HISTORY = {MAX_HISTORY};
/** What a hub takes as one text frame, where its settings were left as they are. */
export const MAX_COMMAND_BYTES = {Settings().frame_bytes};
"""

_PAYLOADS_HEAD = """\
// Generated from producers/events.py by `make types`, and compared with it by a test: don't edit.
//
// Money is a string, so that no digit is lost: read it as a decimal. Times are RFC 3339 in UTC.
"""


def protocol_ts() -> str:
    """The text of `PROTOCOL_TS`."""
    params = get_args(Params)
    structs: list[type[Any]] = [
        Position,
        *(
            each
            for each in vars(schema).values()
            if getattr(each, "__module__", "") == schema.__name__
        ),
    ]
    parts = [
        _HEAD,
        _codes(),
        _enum(Kind),
        _kinds(),
        _enum(ChannelState),
        _enum(CommandState),
        *(_interface(struct) for struct in structs),
        _pushed(get_args(schema.Pushed)),
        *(_interface(struct) for struct in params),
        _methods(params),
    ]
    return "\n".join(parts)


def payloads_ts() -> str:
    """The text of `PAYLOADS_TS`."""
    public = [each for each in vars(events).values() if _is_defined_in(each, events.__name__)]
    names = [each for each in public if issubclass(each, enum.Enum)]
    payloads = [each for each in public if issubclass(each, events.Payload)]
    parts = [
        _PAYLOADS_HEAD,
        *(_enum(each) for each in names),
        # A payload is published with all of its fields.
        *(_interface(each, always=True) for each in payloads if each is not events.Payload),
    ]
    return "\n".join(parts)


def _is_defined_in(value: object, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _codes() -> str:
    numbers = "".join(
        f"/** {code.meaning} */\nexport const {code.name.upper()} = {code.number};\n"
        for code in TABLE
    )
    rows = "".join(f"  {code.number}: {str(code.reconnect).lower()},\n" for code in TABLE)
    return (
        "// What a close frame or an error says.\n\n"
        f"{numbers}\n"
        "/** By a code's number, whether a client reconnects or repeats its command unchanged. */\n"
        f"export const RECONNECT: Readonly<Record<number, boolean>> = {{\n{rows}}};\n"
    )


def _kinds() -> str:
    rows = "".join(f'  {name}: "{stream.kind.value}",\n' for name, stream in KNOWN.items())
    return (
        "/** The kinds of the streams that are known from the start. */\n"
        f"export const KNOWN_KINDS: Readonly<Record<string, Kind>> = {{\n{rows}}};\n"
    )


def _interface(struct: type[Any], *, always: bool = False) -> str:
    shape = shapes.type_info(struct)
    assert isinstance(shape, shapes.StructType)
    lines = [_comment(struct)]
    if not shape.fields:
        return f"{lines[0]}\nexport type {struct.__name__} = Readonly<Record<string, never>>;\n"
    lines.append(f"export interface {struct.__name__} {{")
    if shape.tag is not None:
        lines.append(f'  readonly {shape.tag_field}: "{shape.tag}";')
    for field in shape.fields:
        optional = "" if always or field.required else "?"
        lines.append(f"  readonly {field.encode_name}{optional}: {_type(field.type)};")
    return "\n".join([*lines, "}", ""])


def _enum(cls: type[enum.Enum]) -> str:
    members = " | ".join(f'"{member.value}"' for member in cls)
    # A page's own `Event` is something else.
    name = "EventName" if cls is events.Event else cls.__name__
    comment = "" if cls.__doc__ is None else f"{_comment(cls)}\n"
    return f"{comment}export type {name} = {members};\n"


def _comment(described: type[Any]) -> str:
    text = inspect.cleandoc(described.__doc__ or "")
    return f"/** {text} */".replace("\n", "\n * ").replace(" \n", "\n")


def _pushed(structs: tuple[type[Any], ...]) -> str:
    names = " | ".join(struct.__name__ for struct in structs)
    return (
        f"/** What the hub sends unasked, told apart by `type`. */\nexport type Pushed = {names};\n"
    )


def _methods(params: tuple[type[Any], ...]) -> str:
    rows = "".join(f"  readonly {each.__name__.lower()}: {each.__name__};\n" for each in params)
    return f"/** The parameters of each method. */\nexport interface Methods {{\n{rows}}}\n"


def _type(shape: shapes.Type) -> str:
    match shape:
        case shapes.UnionType(types):
            kept = [each for each in types if not isinstance(each, _Unset)]
            return " | ".join(_type(each) for each in kept)
        case shapes.EnumType(cls) | shapes.StructType(cls):
            return cls.__name__
        case shapes.DictType(_, value):
            return f"Readonly<Record<string, {_type(value)}>>"
        case shapes.ListType(item):
            return f"readonly {_type(item)}[]"
    return _PLAIN[type(shape)]


_Unset = type(shapes.type_info(type(UNSET)))
_PLAIN = {
    shapes.StrType: "string",
    shapes.DecimalType: "string",
    shapes.DateTimeType: "string",
    shapes.IntType: "number",
    shapes.FloatType: "number",
    shapes.BoolType: "boolean",
    shapes.NoneType: "null",
    shapes.AnyType: "unknown",
    shapes.RawType: "unknown",
}


if __name__ == "__main__":
    for path, text in ((PROTOCOL_TS, protocol_ts()), (PAYLOADS_TS, payloads_ts())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
