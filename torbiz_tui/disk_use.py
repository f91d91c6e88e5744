"""The disk that the parts of the program use, and what a clean-up came to."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.errors import TorbizError


@dataclass(frozen=True)
class Part:
    """A part of the program on disk.

    `id` is one of `image`, `env`, `models`, `container_models`, `logs`, `history`,
    `local_models`, `model_cache`, `wheelhouse`. `bytes` is None when it is not known (`note` says why);
    `freeable_bytes` is what cleaning it frees now. `option` is the option of `clean` that frees
    it; it is empty for what is yours, or other programs', and is only shown.
    """

    id: str
    title: str
    where: str
    bytes: int | None
    freeable_bytes: int = 0
    option: str = ""
    note: str = ""


@dataclass(frozen=True)
class DiskUse:
    """All parts, and the free bytes of the disk that the home folder is on."""

    parts: tuple[Part, ...]
    free_bytes: int

    def part(self, part_id: str) -> Part:
        """The part with this id."""
        return next(part for part in self.parts if part.id == part_id)


@dataclass(frozen=True)
class Problem:
    """Why a part, or some of it, stayed."""

    part_id: str
    error: TorbizError


@dataclass(frozen=True)
class Freed:
    """What a clean-up has freed, by part id, and what went wrong."""

    bytes_by_part: dict[str, int]
    problems: tuple[Problem, ...]

    @property
    def bytes(self) -> int:
        """Bytes freed in all."""
        return sum(self.bytes_by_part.values())
