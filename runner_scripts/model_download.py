"""Downloads the weights of chosen blocks before Petals asks for them, and tells how it goes.

Petals by itself tries every failure again for ever, and says nothing that a person would notice.
As a program it downloads alone, with JSON lines on stdout: progress, waiting, done or error.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from download_progress import LineListener, Listener, LogListener, Meter
from hub_errors import DISK_FULL_REMEDY, DownloadError, NoSuchFileError, endpoint
from model_source import pinned_revision
from weight_index import (
    PICKLED_INDEXES,
    SAFE_INDEXES,
    SHARING,
    Advice,
    files_by_parameter,
    files_with,
    require_safe,
)

if TYPE_CHECKING:
    from hub_transfer import HubFile, HubTransfer

__all__ = ["DEFAULT_PATIENCE_S", "DownloadError", "LogListener", "ModelDownload"]

DEFAULT_PATIENCE_S = 120.0
# What stays free, so that logs and other programs go on: 5% of the disk, at most 1 GiB.
RESERVE_FRACTION, MOST_RESERVE_BYTES = 0.05, 2**30


class ModelDownload:
    """The files of one model of the hub, in a cache of the hub's layout (`cache`).

    `revision` is a branch, a tag or a whole commit; None takes what Petals wants, mostly main.
    What is there is never asked for again, so that a cached model needs no network.
    """

    def __init__(
        self,
        model: str,
        cache: Path,
        listener: Listener,
        *,
        token: str | None = None,
        allow_pickled: bool = False,
        max_disk_space: int | None = None,
        patience_s: float = DEFAULT_PATIENCE_S,
        advice: Advice = SHARING,
        revision: str | None = None,
    ) -> None:
        self.model = model
        self._cache = cache
        self._listener = listener
        self._token = token
        self._allow_pickled = allow_pickled
        self._max_disk_space = max_disk_space
        self._patience_s = patience_s
        self._advice = advice
        is_commit = re.fullmatch("[0-9a-f]{40}", revision or "") is not None
        self._pinned = (revision if is_commit else "") if revision else pinned_revision(model)
        self._name = revision or "main"
        self._folder = cache / ("models--" + model.replace("/", "--"))
        self._made: HubTransfer | None = None

    def check(self) -> None:
        """Find out whether there are weights that may be had, and download their index.

        Raises DownloadError.
        """
        with self._locked():
            index = self._index()
            if index.endswith(".json"):
                self._weight_files(lambda _name: True, "its weights")
            elif self._cached(index) is None:
                self._transfer.describe(index, self._revision())

    def ensure(self, prefixes: Sequence[str]) -> list[Path]:
        """Download what holds the parameters of these beginnings, and return the files.

        Raises DownloadError.
        """
        wanted = tuple(prefixes)
        return self._ensure(lambda name: name.startswith(wanted), ", ".join(prefixes))

    def ensure_beside(self, prefix: str) -> list[Path]:
        """Download what holds parameters of any other beginning. Otherwise as `ensure`."""
        return self._ensure(lambda name: not name.startswith(prefix), f"all but {prefix}")

    def ensure_weights(self) -> list[Path]:
        """Download all weights. Otherwise as `ensure`."""
        return self._ensure(lambda _name: True, "its weights")

    def weight_sizes(self) -> Mapping[str, int]:
        """The files of all weights that are not here, with their bytes; only the index is
        downloaded. Raises DownloadError.
        """
        with self._locked():
            names = self._weight_files(lambda _name: True, "its weights")
            missing = [name for name in names if self._cached(name) is None]
            revision = self._revision() if missing else ""
            return {name: self._transfer.describe(name, revision).size for name in missing}

    def ensure_named(self, required: str, others: Sequence[str]) -> None:
        """Download a file, and of the others what the model has. Raises DownloadError."""
        with self._locked():
            there = []
            for name in (required, *others):
                try:
                    if self._cached(name) is None:
                        there.append(self._transfer.describe(name, self._revision()))
                except NoSuchFileError:
                    if name == required:
                        raise DownloadError(
                            "model_not_found",
                            f"{self.model} has no {required}, so it is no model to be loaded.",
                            remedy="Choose another upload of the model.",
                        ) from None
            self._download(there)

    def has(self, name: str) -> bool:
        """Whether a file is here."""
        return self._cached(name) is not None

    @property
    def folder(self) -> Path:
        """Where the files are, by their names; once one of them is here."""
        return self._folder / "snapshots" / self._commit()

    def _ensure(self, wanted: Callable[[str], bool], what: str) -> list[Path]:
        with self._locked():
            names = self._weight_files(wanted, what)
            missing = [name for name in names if self._cached(name) is None]
            if missing:
                try:
                    self._download_named(missing, self._revision())
                except DownloadError as error:
                    if error.code != "revision_not_found" or self._pinned:
                        raise
                    # Its owner has rewritten the history: what is cached belongs to nothing now.
                    (self._folder / "refs" / self._name).unlink()
                    self._index()
                    self._download_named(names, self._name)
            return [self._path(name) for name in names]

    def _weight_files(self, wanted: Callable[[str], bool], what: str) -> list[str]:
        index = self._index()
        if not index.endswith(".index.json"):
            return [index]
        known = self._cached(index)
        assert known is not None  # _index downloads it
        placed = files_by_parameter(known, self.model)
        self._require_safe(placed.values())
        return files_with(placed, wanted, what, self.model)

    def _index(self) -> str:
        """The name of the weights' index, or of the one file with all; indexes are downloaded."""
        indexes = (*SAFE_INDEXES, *PICKLED_INDEXES)
        here = next((name for name in indexes if self._cached(name) is not None), "")
        if here in SAFE_INDEXES or (here and self._allow_pickled):
            return here
        try:
            return self._index_of_hub()
        except DownloadError:
            # Another program has downloaded pickles, and nothing better can be had.
            self._require_safe([here] if here else [])
            raise

    def _index_of_hub(self) -> str:
        for name in (*SAFE_INDEXES, *PICKLED_INDEXES):
            try:
                file = self._transfer.describe(name, self._revision())
            except NoSuchFileError:
                continue
            self._require_safe([name])
            if name.endswith(".json"):
                self._fetch_all([file], None)
            return name
        raise DownloadError(
            "no_weights",
            f"{self.model} has no weights that Petals can load.",
            why="It has neither safetensors files nor PyTorch's own.",
            remedy=f"See {endpoint()}/{self.model}/tree/main; choose another upload of the model.",
        )

    def _require_safe(self, names: Iterable[str]) -> None:
        if not self._allow_pickled:
            require_safe(names, self.model, self._advice.with_pickled)

    @property
    def _transfer(self) -> HubTransfer:
        if self._made is None:
            if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
                raise DownloadError(
                    "hub_offline",
                    f"{self.model} is not in the local cache, or not all of it.",
                    why="HF_HUB_OFFLINE forbids to ask the hub.",
                    remedy="Unset HF_HUB_OFFLINE, then start again.",
                )
            from hub_transfer import HubTransfer

            self._made = HubTransfer(
                self.model, self._token, self._patience_s, self._listener.waiting
            )
        return self._made

    def _revision(self) -> str:
        """The commit that is cached already, so that all files are of one; otherwise its name."""
        return self._commit() or self._name

    def _commit(self) -> str:
        if self._pinned:
            return self._pinned
        try:
            return (self._folder / "refs" / self._name).read_text("utf-8").strip()
        except (OSError, ValueError):
            return ""

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _cached(self, name: str) -> Path | None:
        path = self._path(name) if self._commit() else None
        return path if path is not None and path.is_file() else None

    def _download_named(self, names: Iterable[str], revision: str) -> None:
        self._download([self._transfer.describe(name, revision) for name in names])

    def _download(self, files: Sequence[HubFile]) -> None:
        if not files:
            return
        needed = sum(file.size - self._bytes_here(file) for file in files)
        if needed:
            self._require_space(needed)
        meter = Meter(sum(file.size for file in files), self._listener)
        self._fetch_all(files, meter)

    def _bytes_here(self, file: HubFile) -> int:
        if self._blob(file).is_file():  # another revision has the same
            return file.size
        partial = self._partial(file)
        return min(partial.stat().st_size, file.size) if partial.is_file() else 0

    def _partial(self, file: HubFile) -> Path:
        return self._folder / "blobs" / f"{file.etag}.incomplete"

    def _blob(self, file: HubFile) -> Path:
        return self._folder / "blobs" / file.etag

    def _require_space(self, needed: int) -> None:
        self._make_room(needed)
        usage = shutil.disk_usage(self._cache)
        reserve = min(MOST_RESERVE_BYTES, int(usage.total * RESERVE_FRACTION))
        if needed + reserve > usage.free:
            raise DownloadError(
                "disk_too_small",
                f"Insufficient disk space for {self.model}: {_size(needed)} are to be downloaded,"
                f" and {_size(usage.free)} are free.",
                why=f"{_size(reserve)} are kept free on the disk of {self._cache}.",
                remedy="Free some space (`torbiz-tui cache` lists the downloaded models,"
                f" `torbiz-tui clean` the rest), or {self._advice.with_less}.",
            )

    def _make_room(self, needed: int) -> None:
        """Let Petals remove what was used longest ago, where it is told how much it may keep."""
        if self._max_disk_space is None:
            return
        disk_cache = importlib.import_module("petals.utils.disk_cache")
        try:
            with disk_cache.allow_cache_writes(self._cache):
                disk_cache.free_disk_space_for(
                    needed, cache_dir=self._cache, max_disk_space=self._max_disk_space, os_quota=0
                )
        except RuntimeError as error:
            raise DownloadError("disk_too_small", str(error), remedy=DISK_FULL_REMEDY) from error

    def _fetch_all(self, files: Sequence[HubFile], meter: Meter | None) -> None:
        done = 0
        for file in files:
            self._fetch(file, meter, done)
            done += file.size
        if meter is not None:
            meter.update(done, last=True)

    def _fetch(self, file: HubFile, meter: Meter | None, before: int) -> None:
        def on_bytes(count: int) -> None:
            if meter is not None:
                meter.update(before + count)

        blob = self._blob(file)
        try:
            blob.parent.mkdir(parents=True, exist_ok=True)
            if not blob.is_file():
                self._transfer.fetch(file, self._partial(file), on_bytes)
                self._partial(file).replace(blob)
            self._link(file, blob)
        except OSError as error:
            raise DownloadError(
                "cache_not_writable",
                f"The cache of models cannot be written ({self._folder}).",
                why=f"{error.strerror}.",
                remedy="Free some space or mend its permissions, then start again.",
            ) from error

    def _link(self, file: HubFile, blob: Path) -> None:
        pointer = self._folder / "snapshots" / file.commit / file.name
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        if self._pinned:
            return
        ref = self._folder / "refs" / self._name
        ref.parent.mkdir(parents=True, exist_ok=True)
        new = ref.with_name(f"{ref.name}.new")
        new.write_text(file.commit, "utf-8")
        new.replace(ref)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time download this model; another one's is waited for, told."""
        folder = self._cache / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / f"{self._folder.name}.lock").open("w")
        except OSError as error:
            raise DownloadError(
                "cache_not_writable",
                f"The cache of models cannot be written ({self._cache}).",
                why=f"{error.strerror}.",
                remedy="Free some space or mend its permissions, then start again.",
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._listener.waiting(f"another program downloads {self.model}", 0.0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"


def main() -> int:
    """Download blocks and say how it goes; 0 when all is there, 1 otherwise."""
    from argument_types import OneSentenceParser, model_name, number
    from json_lines import ProtocolWriter
    from model_source import hub_token

    parser = OneSentenceParser(description="Downloads the weights of blocks of a model.")
    parser.add_argument("--model-name", required=True, type=model_name, help="hub id")
    parser.add_argument("--cache-dir", required=True, type=Path)
    parser.add_argument(
        "--prefix", action="append", required=True, help="of the parameters' names; repeatable"
    )
    parser.add_argument("--allow-pickled", action="store_true")
    parser.add_argument("--patience", type=number(0, 86_400), default=DEFAULT_PATIENCE_S)
    options = parser.parse_args()
    writer = ProtocolWriter.take_stdout()
    download = ModelDownload(
        options.model_name,
        options.cache_dir,
        LineListener(writer.write),
        token=hub_token(),
        allow_pickled=options.allow_pickled,
        patience_s=options.patience,
    )
    try:
        files = download.ensure(options.prefix)
    except DownloadError as error:
        writer.write(
            {
                "type": "error",
                "code": error.code,
                "what": error.what,
                "why": error.why,
                "remedy": error.remedy,
            }
        )
        return 1
    writer.write({"type": "done", "files": [str(file) for file in files]})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
