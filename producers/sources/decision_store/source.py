"""A folder of decision files as a source: the operating system tells of changes, nobody polls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import click

from producers.errors import SourceGone
from producers.sources.base import Decided, FollowingSource, Reading, Trouble
from producers.sources.decision_store.folder import DecisionFolder
from producers.sources.decision_store.parsing import MAX_FILE_BYTES, order_of
from producers.sources.decision_store.watch import FolderWatch


class DecisionStoreSource(FollowingSource):
    """The decision files of one folder, one JSON file a decision."""

    summary: ClassVar[str] = """Follow a FOLDER of decision files.

    One JSON file holds one decision. It is published once, however often this is started; when
    its file is rewritten, as decision_updated.

    \b
    Examples:
      tapecast produce decision-store data/decisions
      tapecast produce decision-store data/decisions --once
      tapecast produce decision-store data/decisions --account acct-7
    """
    options: ClassVar[Sequence[click.Parameter]] = (
        click.Argument(["folder"], type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.Option(["--account"], metavar="NAME", help="Publish to decisions:NAME."),
    )

    def __init__(
        self, folder: Path, *, name: str = "decision-store", account: str | None = None
    ) -> None:
        suffix = f":{account}" if account else ""
        self._folder = folder
        self._decisions = f"decisions{suffix}"
        self._alerts = f"alerts{suffix}"
        # `health` alone is the agent's, which often runs next to this.
        self._health = f"health:{name}{suffix}"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        return cls(options["folder"], name=options["name"], account=options["account"])

    @property
    def channels(self) -> tuple[str, ...]:
        return (self._decisions, self._health)

    @property
    def health_channel(self) -> str:
        return self._health

    async def read_once(self) -> Sequence[Reading]:
        known = DecisionFolder(grace_seconds=0)
        readings = await self._take(known, await asyncio.to_thread(self._names))
        return [*readings, *self._troubles(known)]

    async def follow(self) -> AsyncGenerator[Sequence[Reading]]:
        known = DecisionFolder()
        # Watch before reading: the other order loses what is written in between.
        with contextlib.closing(FolderWatch(self._folder)) as watch:
            names = await asyncio.to_thread(self._names)
            while True:
                yield [*await self._take(known, names), *self._troubles(known)]
                names = await watch.changed(known.next_deadline())

    async def _take(self, known: DecisionFolder, names: Iterable[str]) -> list[Reading]:
        contents = await asyncio.to_thread(self._contents, sorted(names))
        now = time.monotonic()
        decisions = []
        # What is gone first: a renamed file's decision is free for its new name then.
        for name, content in contents.items():
            if content is None:
                known.lost(name)
        for name, content in contents.items():
            if isinstance(content, OSError):
                known.failed(name, f"can't be read: {content.strerror}", now)
            elif content is not None and (decision := known.saw(name, content, now)):
                decisions.append(decision)
        return [Decided(self._decisions, each) for each in sorted(decisions, key=order_of)]

    def _troubles(self, known: DecisionFolder) -> list[Reading]:
        return [
            Trouble(
                self._alerts,
                title=f"{broken.name} holds no decision",
                detail=broken.why,
                key=f"{broken.name}:{broken.digest}",
            )
            for broken in known.take_broken(time.monotonic())
        ]

    def _names(self) -> frozenset[str]:
        try:
            return frozenset(each.name for each in self._folder.iterdir())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise SourceGone(f"{self._folder}: expected a folder, found none") from error

    def _contents(self, names: Iterable[str]) -> dict[str, bytes | OSError | None]:
        return {name: self._content(name) for name in names if is_decision_file(name)}

    def _content(self, name: str) -> bytes | OSError | None:
        """What a file holds, why it can't be read, or None where it is gone again."""
        try:
            with (self._folder / name).open("rb") as file:
                # One byte more than a file may have shows that it has too many.
                return file.read(MAX_FILE_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            return error


def is_decision_file(name: str) -> bool:
    """Whether a file of this name may hold a decision; hidden ones are somebody's scratch."""
    return name.endswith(".json") and not name.startswith(".")
