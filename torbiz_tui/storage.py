"""The disk that all parts of the program use, and freeing it part by part."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torbiz_tui.config import Config
from torbiz_tui.disk_use import DiskUse, Freed, Part, Problem
from torbiz_tui.environments.shared_runner import SharedRunners
from torbiz_tui.errors import TorbizError
from torbiz_tui.folder_sizes import Removal, folder_size, off_loop, remove_tree
from torbiz_tui.logs.emptying import empty_logs
from torbiz_tui.logs.sources import RUNNER_LOGS
from torbiz_tui.logs.writing import logger
from torbiz_tui.paths import Paths, shown

if TYPE_CHECKING:
    from torbiz_tui.environments.docker.cleanup import Candidate
    from torbiz_tui.environments.docker.inventory import DockerInventory

PETALS_FOLDER = "petals"
"""The folder in the shared model cache that a container's Petals keeps its blocks in."""

_KEPT_S = 5.0
_ENGINE_LIMIT_S = 30.0


class Storage:
    """Measures and frees the disk of one home folder and one engine; belongs to one event loop.

    `asks_engine`: whether the image belongs to the environment in use, so that a quick look asks
    for it too.
    """

    def __init__(
        self, paths: Paths, config: Config, inventory: DockerInventory, *, asks_engine: bool
    ) -> None:
        self._paths = paths
        self._config = config
        self._inventory = inventory
        self._asks_engine = asks_engine
        self._measured: tuple[float, DiskUse] | None = None

    @property
    def shared_cache(self) -> Path:
        """The Hugging Face cache that containers share with this machine."""
        return Path(self._config.docker.model_cache).expanduser()

    @property
    def container_models(self) -> Path:
        """The part of that cache that only our containers write."""
        return self.shared_cache / PETALS_FOLDER

    @property
    def wheelhouse(self) -> Path:
        """The folder of wheels for building the image."""
        given = self._config.docker.wheelhouse
        return Path(given).expanduser() if given else self._paths.home / "wheelhouse"

    async def measure(self, *, fresh: bool = False) -> DiskUse:
        """All parts with their sizes; what was measured in the last 5 seconds unless `fresh`.

        An engine that does not answer is told in the note of the image.
        """
        if not fresh and self._measured is not None:
            at, use = self._measured
            if time.monotonic() - at < _KEPT_S:
                return use
        image, folders = await asyncio.gather(
            self._image_part(), off_loop(self._folder_parts, "measure disk use")
        )
        use = DiskUse((image, *folders), _free_bytes(self._paths.home))
        self._measured = (time.monotonic(), use)
        return use

    async def quick(self, limit_s: float) -> dict[str, int | None]:
        """Bytes by part id, None for what was not known within `limit_s` seconds."""
        jobs = {
            part_id: asyncio.ensure_future(off_loop(partial(self._folder_part, part_id), part_id))
            for part_id in _FOLDER_PARTS
        }
        engine = asyncio.ensure_future(self._inventory.image_bytes()) if self._asks_engine else None
        waiting = [*jobs.values(), *([engine] if engine is not None else [])]
        _done, late = await asyncio.wait(waiting, timeout=limit_s)
        for job in late:
            job.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        found: dict[str, int | None] = {"image": None}
        if engine is not None and engine not in late and engine.exception() is None:
            found["image"] = engine.result()
        for part_id, job in jobs.items():
            known = job not in late and job.exception() is None
            found[part_id] = job.result().bytes if known else None
        return found

    async def _image_part(self) -> Part:
        title = "Docker image"
        tag = self._config.docker.image
        try:
            async with asyncio.timeout(_ENGINE_LIMIT_S):
                candidates = await self._inventory.cleanup_candidates()
        except TimeoutError:
            return Part("image", title, tag, None, 0, "image", "Docker did not answer in time.")
        except TorbizError as error:
            return Part("image", title, tag, None, 0, "image", error.what)
        kinds = [candidate.kind for candidate in candidates]
        counted = [
            f"{kinds.count(kind)} {kind}" + ("" if kinds.count(kind) == 1 else "s")
            for kind in ("image", "container")
            if kind in kinds
        ]
        notes = [f"{' and '.join(counted)} of ours."] if counted else []
        notes += [f"{held.name} stays: {held.in_use}" for held in candidates if held.in_use]
        return Part(
            "image",
            title,
            tag,
            sum(candidate.bytes for candidate in candidates),
            sum(candidate.bytes for candidate in candidates if not candidate.in_use),
            "image",
            " ".join(notes),
        )

    def _folder_parts(self, stop: threading.Event) -> list[Part]:
        return [self._folder_part(part_id, stop) for part_id in _FOLDER_PARTS]

    def _folder_part(self, part_id: str, stop: threading.Event) -> Part:
        title, option = _FOLDER_PARTS[part_id]
        folder, without, note = {
            "env": (self._paths.env, [], ""),
            "models": (self._paths.cache, [], ""),
            "container_models": (self.container_models, [], ""),
            "logs": (self._paths.logs, [], ""),
            "history": (
                self._paths.history_file,
                [],
                "yours; only shown. Conversations are deleted on Ask.",
            ),
            "local_models": (self._paths.models, [], "yours; only shown."),
            "model_cache": (
                self.shared_cache,
                [self.container_models],
                "shared with other programs; only shown.",
            ),
            "wheelhouse": (self.wheelhouse, [], "yours; only shown."),
        }[part_id]
        folders = [folder]
        if part_id == "history":
            folders += [folder.with_name(f"{folder.name}-{end}") for end in ("wal", "shm")]
        size = folder_size(folders, stop, without=without)
        freeable = size.freeable if option else 0
        if option and folder.is_symlink():
            freeable, note = 0, "a link; what it points to is left alone."
        elif option and size.bytes - size.freeable > 1_000_000:
            linked = (size.bytes - size.freeable) / 1e9
            note = f"{linked:.2f} GB of it are also in uv's cache; `uv cache clean` frees them."
        return Part(part_id, title, shown(folder), size.bytes, freeable, option, note)

    async def clean(self, part_ids: Sequence[str], report: Callable[[str], None]) -> Freed:
        """Free these parts; `report` gets a line for each thing that goes.

        A part that is in use, or cannot be removed, is a problem of that part, and the others go
        on. Cancelling stops between two files.
        """
        freed: dict[str, int] = {}
        problems: list[Problem] = []
        self._measured = None
        for part_id in part_ids:
            try:
                if part_id in _USED_BY_CHAT:
                    # It may be warm only in case somebody asks again.
                    await SharedRunners(self._paths).end_unused()
                with self._locked(part_id):
                    if part_id == "image":
                        result, errors = await self._clean_image(report)
                    else:
                        result, errors = await self._clean_folder(part_id, report)
            except TorbizError as error:
                problems.append(Problem(part_id, error))
                continue
            freed[part_id] = result
            problems += [Problem(part_id, error) for error in errors]
            logger("app").info("cleaned %s: %d bytes", part_id, result)
        return Freed(freed, tuple(problems))

    @contextlib.contextmanager
    def _locked(self, part_id: str) -> Iterator[None]:
        """Keep others from bringing the part anew and from starting a server meanwhile."""
        from filelock import FileLock, Timeout

        with contextlib.ExitStack() as held:
            for name, doing in _LOCKS.get(part_id, ()):
                if not self._paths.run.is_dir():
                    break
                try:
                    held.enter_context(FileLock(self._paths.run / name, timeout=0))
                except Timeout:
                    raise TorbizError(
                        f"A torbiz-tui is {doing} just now, so nothing is removed.",
                        remedy="Wait until it has finished, then try again.",
                        code="in_use",
                    ) from None
            yield

    async def _clean_image(self, report: Callable[[str], None]) -> tuple[int, list[TorbizError]]:
        candidates = await self._inventory.cleanup_candidates()
        cleaned = await self._inventory.clean(candidates, report)
        self._forget_removed(candidates, cleaned.removed)
        return cleaned.bytes, list(cleaned.problems)

    def _forget_removed(self, candidates: Sequence[Candidate], removed: Sequence[str]) -> None:
        """Remove what was noted of images and containers that are gone: tokens, a verification."""
        from torbiz_tui.environments.docker.secrets_files import remove_tokens

        for candidate in candidates:
            if candidate.name not in removed:
                continue
            if candidate.kind == "container":
                remove_tokens(self._paths, candidate.name)
            elif self._config.docker.image in candidate.references:
                (self._paths.run / "image-verified.json").unlink(missing_ok=True)

    async def _clean_folder(
        self, part_id: str, report: Callable[[str], None]
    ) -> tuple[int, list[TorbizError]]:
        part = await off_loop(lambda stop: self._folder_part(part_id, stop), part_id)
        folder = {
            "env": self._paths.env,
            "models": self._paths.cache,
            "container_models": self.container_models,
            "logs": self._paths.logs,
        }[part_id]
        if folder.is_symlink():
            raise TorbizError(
                f"{part.title}: {part.where} is a link, so nothing is removed.",
                remedy="Remove the link, or what it points to, yourself if you mean it.",
                code="is_link",
            )
        if not part.bytes:
            return 0, []
        if part_id == "logs":
            busy = await self._users_of_env() or await self._container_in_use()
            removal = await off_loop(
                lambda stop: empty_logs(folder, stop, keep=RUNNER_LOGS if busy else ()), "logs"
            )
            if busy:
                report(f"The logs of the server stay: {busy}")
        else:
            await self._require_unused(part_id, part.title)
            # Without its stamp a half removed venv is never taken for a whole one.
            first = ("torbiz-stack.json",) if part_id == "env" else ()
            removal = await off_loop(
                lambda stop: remove_tree(folder, stop, first=first), f"remove {part_id}"
            )
        report(f"{part.title}: removed from {part.where}.")
        return removal.bytes, _removal_problem(part.title, removal)

    async def _require_unused(self, part_id: str, title: str) -> None:
        if part_id == "container_models":
            user = await self._container_in_use()
        else:
            user = await self._users_of_env()
        if user:
            raise TorbizError(
                f"{title}: in use.",
                why=user,
                remedy="Stop sharing (`torbiz-tui stop`) and close the app and whatever else asks,"
                " then try again.",
                code="in_use",
            )

    async def _users_of_env(self) -> str:
        """Who runs from the managed venv, in a sentence; empty when nobody does."""
        return await asyncio.to_thread(_process_below, self._paths.env)

    async def _container_in_use(self) -> str:
        try:
            async with asyncio.timeout(_ENGINE_LIMIT_S):
                found = await self._inventory.cleanup_candidates()
        except (TorbizError, TimeoutError):
            # No engine, no container that could use anything.
            return ""
        running = [item for item in found if item.kind == "container" and item.in_use]
        return " ".join(f"The container {item.name}: {item.in_use}" for item in running)


_SHARE_LOCK = ("share.lock", "starting to share")
_CHAT_LOCK = ("chat.lock", "starting to ask")
_USED_BY_CHAT = ("env", "models")
_LOCKS = {
    "image": (("image.lock", "building the image"), _SHARE_LOCK),
    "env": (("setup.lock", "installing"), _SHARE_LOCK, _CHAT_LOCK),
    "models": (_SHARE_LOCK, _CHAT_LOCK),
    "container_models": (_SHARE_LOCK,),
}
_FOLDER_PARTS = {
    "env": ("Petals in its venv", "env"),
    "models": ("Downloaded blocks", "models"),
    "container_models": ("Blocks of the container", "models"),
    "logs": ("Logs", "logs"),
    "history": ("Conversations", ""),
    "local_models": ("Local models", ""),
    "model_cache": ("Hugging Face cache", ""),
    "wheelhouse": ("Wheels for the image", ""),
}


def _process_below(folder: Path) -> str:
    import psutil

    begin = f"{folder}{os.sep}"
    for process in psutil.process_iter(["cmdline"]):
        argv = process.info["cmdline"] or ()
        if argv and argv[0].startswith(begin):
            script = next((Path(word).name for word in argv[1:] if word.endswith(".py")), "python")
            return f"Process {process.pid} ({script}) runs from {shown(folder)}."
    return ""


def _removal_problem(title: str, removal: Removal) -> list[TorbizError]:
    if not removal.errors:
        return []
    first = removal.errors[0]
    return [
        TorbizError(
            f"{title}: some of it could not be removed.",
            why=f"{first.filename}: {first.strerror}.",
            remedy="See whose they are (a container of a rootful engine may have written them as"
            " root), then try again.",
            code="not_removed",
        )
    ]


def _free_bytes(folder: Path) -> int:
    """Free bytes of the disk that `folder` is, or would be, on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
