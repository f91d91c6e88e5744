"""The models that were downloaded from the hub: where they lie, what they take, their removal.

The layout is that of huggingface_hub: `models--OWNER--NAME` with `blobs`, `snapshots` and `refs`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.config import Config
from torbiz_tui.errors import TorbizError
from torbiz_tui.folder_sizes import Removal, Stopped, folder_size, remove_tree
from torbiz_tui.paths import Paths
from torbiz_tui.storage import PETALS_FOLDER

_FOLDER = re.compile(r"models--([\w.-]{1,200})", re.ASCII)


@dataclass(frozen=True)
class CachePlace:
    """A folder of downloaded models; `ours` is what only this program writes."""

    id: str
    title: str
    folder: Path
    ours: bool


@dataclass(frozen=True)
class CachedModel:
    """A model in one place. `revisions` are commits; `partial_bytes` of `bytes` are not whole yet.

    `last_used` is when a file of it was last read or written, in seconds since the epoch.
    """

    name: str
    place: CachePlace
    folder: Path
    bytes: int
    partial_bytes: int
    revisions: tuple[str, ...]
    last_used: float | None


def cache_places(
    paths: Paths, config: Config, environ: Mapping[str, str] = os.environ
) -> list[CachePlace]:
    """Where downloaded models may be: our blocks, those of the container, the shared cache."""
    shared = Path(config.docker.model_cache).expanduser()
    own_hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    if not own_hub and environ.get("HF_HOME"):
        own_hub = f"{environ['HF_HOME']}/hub"
    places = [
        CachePlace("models", "Downloaded blocks", paths.cache, ours=True),
        CachePlace(
            "container_models", "Blocks of the container", shared / PETALS_FOLDER, ours=True
        ),
        CachePlace("model_cache", "Hugging Face cache", shared / "hub", ours=False),
    ]
    if own_hub:
        folder = Path(own_hub).expanduser()
        places.append(CachePlace("model_cache", "Hugging Face cache", folder, ours=False))
    seen: dict[Path, CachePlace] = {}
    for place in places:
        seen.setdefault(place.folder.absolute(), place)
    return list(seen.values())


def cached_models(places: Sequence[CachePlace], stop: threading.Event) -> list[CachedModel]:
    """The models in these places, by name. Raises Stopped when nobody waits any more."""
    found = []
    for place in places:
        with contextlib.suppress(OSError):
            for folder in place.folder.iterdir():
                match = _FOLDER.fullmatch(folder.name)
                if match is not None and folder.is_dir() and not folder.is_symlink():
                    found.append(_look(match[1].replace("--", "/"), place, folder, stop))
    return sorted(found, key=lambda model: (model.name.lower(), model.place.title))


def _look(name: str, place: CachePlace, folder: Path, stop: threading.Event) -> CachedModel:
    used, partial = [], 0
    with contextlib.suppress(OSError), os.scandir(folder / "blobs") as blobs:
        for blob in blobs:
            if stop.is_set():
                raise Stopped
            with contextlib.suppress(OSError):
                info = blob.stat()
                used.append(max(info.st_atime, info.st_mtime))
                if blob.name.endswith(".incomplete"):
                    partial += info.st_size
    revisions: list[str] = []
    with contextlib.suppress(OSError):
        revisions = sorted(entry.name for entry in (folder / "snapshots").iterdir())
    size = folder_size([folder], stop).bytes
    return CachedModel(
        name, place, folder, size, partial, tuple(revisions), max(used, default=None)
    )


def remove_cached(model: CachedModel, stop: threading.Event) -> Removal:
    """Remove a model from one place.

    Raises TorbizError (`in_use`) while it is being downloaded.
    """
    with _not_downloading(model):
        return remove_tree(model.folder, stop)


@contextlib.contextmanager
def _not_downloading(model: CachedModel) -> Iterator[None]:
    """Hold the lock that `runner_scripts/model_download.py` holds meanwhile."""
    lock = model.place.folder / ".locks" / f"{model.folder.name}.lock"
    if not lock.is_file():
        yield
        return
    try:
        opened = lock.open("r+b")
    except OSError as error:
        raise TorbizError(
            f"{model.name} is not removed: it may be downloaded just now.",
            why=f"{lock}: {error.strerror}.",
            remedy="It belongs to somebody else, such as a container that ran as root: mend its"
            " permissions, or remove it when nothing is shared.",
            code="in_use",
        ) from error
    with opened as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TorbizError(
                f"{model.name} is being downloaded just now, so it is not removed.",
                remedy="Stop sharing (`torbiz-tui stop`), then try again.",
                code="in_use",
            ) from None
        yield
