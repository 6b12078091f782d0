"""A recording as Parquet: the same rows, a column a field, for those who analyse them.

A Parquet file can't be appended to, and one that was not ended can't be read. So a recorder writes
lines beside it, `FILE.parquet.jsonl`, which are made into it when the recorder ends; after a kill
they are still there, and the next run goes on with them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hub.client.recording import RecordingError, Row, decode_row, encode_row, read_rows

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
BATCH = 10_000
"""Rows that are in memory at a time."""

_PLACES = {"reset": "last", "recovered": "since"}
"""The fields that are positions, which share the column `place`."""


def is_parquet(path: Path) -> bool:
    """Whether a recording of this name is a Parquet file."""
    return path.suffix == SUFFIX


@contextmanager
def lines_to_write(path: Path) -> Iterator[Path]:
    """A file of lines to append to, which is made into `path` in the end unless it is that.

    Raises RecordingError where pyarrow is missing, before anything is written.
    """
    if not is_parquet(path):
        yield path
        return
    _pyarrow()
    lines = path.with_name(f"{path.name}.jsonl")
    if path.exists() and not lines.exists():
        with _written_whole(lines) as partial, partial.open("wb") as file:
            file.writelines(map(encode_row, read(path)))
    yield lines
    with lines.open("rb") as file:
        write(read_rows(file), path)
    lines.unlink()


@contextmanager
def lines_to_read(path: Path) -> Iterator[Path]:
    """A file of the recording's lines: itself, or one that is gone afterwards."""
    if not is_parquet(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tapecast-") as folder:
        lines = Path(folder) / "recording.jsonl"
        with lines.open("wb") as file:
            file.writelines(map(encode_row, read(path)))
        yield lines


def write(rows: Iterator[Row], path: Path) -> None:
    """Make a Parquet file of rows; one that is there is replaced once the new one is whole."""
    from pyarrow import parquet

    arrow = _pyarrow()
    schema = _schema(arrow)
    with (
        _written_whole(path) as partial,
        parquet.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        while batch := [_columns(row) for row in islice(rows, BATCH)]:
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema))


def read(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file. Raises RecordingError."""
    arrow = _pyarrow()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema = _schema(arrow)
            if file.schema_arrow.names != schema.names:
                raise RecordingError("expected the columns of a recording")
            for batch in file.iter_batches(batch_size=BATCH):
                # Moments as numbers again.
                plain = arrow.Table.from_batches([batch]).cast(_schema(arrow, plain=True))
                yield from map(_row, plain.to_pylist())
    except arrow.ArrowException as error:
        raise RecordingError(f"expected a recording in Parquet: {error}") from None


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise RecordingError(
            "a recording in Parquet needs pyarrow: pip install 'tapecast[parquet]'; "
            "one whose name ends in .jsonl needs nothing"
        ) from None
    return pyarrow


def _schema(arrow: Any, *, plain: bool = False) -> pyarrow.Schema:
    text, whole = arrow.string(), arrow.int64()
    moment = whole if plain else arrow.timestamp("us", tz="UTC")
    place = arrow.struct([("epoch", text), ("seq", whole), ("tag", text)])
    return arrow.schema(
        [
            ("type", text), ("at", moment), ("channel", text), ("kind", text), ("event", text),
            ("ts", moment), ("epoch", text), ("seq", whole), ("tag", text), ("prev", whole),
            ("skipped", whole), ("data", text), ("cause", text), ("place", place),
            ("state", text), ("since", moment), ("version", whole),
            ("channels", arrow.list_(text)), ("source", text), ("tapecast", text),
        ]
    )  # fmt: skip


def _columns(row: Row) -> dict[str, Any]:
    type = str(row.__struct_config__.tag)
    found: dict[str, Any] = {"type": type}
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, msgspec.Raw):
            value = bytes(value).decode()
        if _PLACES.get(type) == name:
            found["place"] = msgspec.structs.asdict(value)
        else:
            found[name] = value
    return found


def _row(columns: Mapping[str, Any]) -> Row:
    place = _PLACES.get(columns["type"])
    fields = {name: value for name, value in columns.items() if value is not None}
    if "data" in fields:
        fields["data"] = msgspec.Raw(fields["data"].encode())
    if place is not None:
        fields[place] = fields.pop("place")
    # Its types are checked where a line is read.
    return decode_row(msgspec.json.encode(fields))


@contextmanager
def _written_whole(path: Path) -> Iterator[Path]:
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
