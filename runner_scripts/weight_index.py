"""Which files hold which weights, and that nothing in them can run unless that was agreed to."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_errors import DownloadError

SAFE_INDEXES = ("model.safetensors.index.json", "model.safetensors")
PICKLED_INDEXES = ("pytorch_model.bin.index.json", "pytorch_model.bin")
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Advice:
    """What else a person can do, in the words of whoever loads the weights."""

    with_less: str
    with_pickled: str


SHARING = Advice(
    "serve fewer blocks",
    "Choose an upload with safetensors, or, if you trust its owner, share it with"
    " --allow-pickled-weights.",
)
ASKING = Advice(
    "ask a smaller model",
    "Choose an upload with safetensors, or, if you trust its owner, ask it with"
    " --allow-pickled-weights.",
)


def read_header(file: Path) -> dict[str, Any]:
    """What a file says of its tensors (https://github.com/huggingface/safetensors).

    Raises OSError, and ValueError for a damaged one.
    """
    with file.open("rb") as stream:
        try:
            (length,) = struct.unpack("<Q", stream.read(8))
        except struct.error as error:
            raise ValueError("it is too short") from error
        if length > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    header.pop("__metadata__", None)
    return header


def files_by_parameter(index: Path, model: str) -> dict[str, str]:
    """The file of each parameter, as an index says. Raises DownloadError."""
    try:
        placed = json.loads(index.read_bytes())["weight_map"]
        return {str(parameter): str(file) for parameter, file in placed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            "index_unusable",
            f"The index of {model}'s weights cannot be read.",
            why=f"{index.name}: {type(error).__name__}.",
            remedy=f"Remove it with `torbiz-tui cache clean {model}`, then start again.",
        ) from error


def files_with(
    placed: Mapping[str, str], wanted: Callable[[str], bool], what: str, model: str
) -> list[str]:
    """The files that hold the wanted parameters, in order. Raises DownloadError."""
    names = {file for parameter, file in placed.items() if wanted(parameter)}
    # The names become paths of this machine.
    bad = [name for name in names if not re.fullmatch(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)*", name)]
    if bad or not names:
        raise DownloadError(
            "index_unusable",
            f"The index of {model}'s weights names no usable files for {what}.",
            remedy="Choose another upload of the model.",
        )
    return sorted(names)


def require_safe(names: Iterable[str], model: str, remedy: str) -> None:
    """Raises DownloadError (pickled_weights) for files that can run code when they are loaded."""
    pickled = sorted({name for name in names if not _is_safe(name)})
    if not pickled:
        return
    only = pickled[0] in PICKLED_INDEXES
    raise DownloadError(
        "pickled_weights",
        f"{model} has {'only pickled weights' if only else 'pickled weights too'}, which can run"
        " code when they are loaded.",
        # An index of safetensors files can name others.
        why=f"It has {pickled[0]} and no safetensors files."
        if only
        else f"Its index of weights names {pickled[0]}.",
        remedy=remedy,
    )


def _is_safe(name: str) -> bool:
    return name in SAFE_INDEXES or name.endswith(".safetensors")


class FolderWeights:
    """The weights of a model that lies in a folder, which nobody downloads."""

    def __init__(self, folder: str, *, allow_pickled: bool, advice: Advice = SHARING) -> None:
        self._folder = Path(folder)
        self._allow_pickled = allow_pickled
        self._advice = advice

    def check(self) -> None:
        """Raises DownloadError where they must not be loaded; not where there are none."""
        if (index := self._index()) is not None:
            self._placed(index)

    def ensure(self, prefixes: Iterable[str]) -> list[Path]:
        """The files with the parameters of these beginnings. Raises DownloadError."""
        wanted = tuple(prefixes)
        index = self._index()
        if index is None:
            raise DownloadError(
                "no_weights",
                f"{self._folder} has no weights that Petals can load.",
                why="It has neither safetensors files nor PyTorch's own.",
            )
        names = [index]
        if placed := self._placed(index):
            what, model = ", ".join(wanted), str(self._folder)
            names = files_with(placed, lambda name: name.startswith(wanted), what, model)
        if absent := [name for name in names if not (self._folder / name).is_file()]:
            raise DownloadError("no_weights", f"{self._folder} lacks {', '.join(absent)}.")
        return [self._folder / name for name in names]

    def _index(self) -> str | None:
        there = (*SAFE_INDEXES, *PICKLED_INDEXES)
        return next((name for name in there if (self._folder / name).is_file()), None)

    def _placed(self, index: str) -> dict[str, str]:
        """What an index says; nothing of one file with all. Raises DownloadError."""
        model = str(self._folder)
        placed = files_by_parameter(self._folder / index, model) if index.endswith(".json") else {}
        if not self._allow_pickled:
            require_safe((index, *placed.values()), model, self._advice.with_pickled)
        return placed
