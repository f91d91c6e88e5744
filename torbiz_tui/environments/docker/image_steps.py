"""The setup steps of the image: it is built, and a container of it imports the whole stack."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import Engine, EngineFinder
from torbiz_tui.environments.docker.image import ImageState, PetalsImage
from torbiz_tui.environments.docker.image_probe import probe_image
from torbiz_tui.environments.work_lock import work_lock
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.paths import Paths, write_json
from torbiz_tui.setup.step import CheckResult, Reporter, Step

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


class ImageStep(Step):
    """The image of the stack is on the engine, built from what would be built from now.

    An image that this program has built from other inputs counts as missing: running the setup
    builds it anew, and until then it can still host. One that somebody else has put under the same
    name (Torbiz Desktop, or a person by hand) is never replaced unasked: it is ready with a note,
    and doing the step again builds this program's own. Doing it again although the image is fresh
    builds from nothing: layers of the last build would only give the same image.
    """

    id = "image"
    title = "Docker image"
    in_container = True
    needs = ("docker-engine",)

    def __init__(self, image: PetalsImage, finder: EngineFinder) -> None:
        self._image = image
        self._finder = finder

    async def check(self) -> CheckResult:
        engine = await self._finder.engine()
        try:
            self._image.require_gpu_support(engine)
        except BlockedError as error:
            return CheckResult.blocked(f"{error.what} {error.why}", error.remedy)
        state = await self._image.state(engine)
        if state is None:
            size = "3 GB" if self._image.torch_build(engine) == "cuda" else "300 MB"
            return CheckResult.missing(
                f"{self._image.tag} is not built yet: about {size} to download"
            )
        found = f"{state.tag}, {state.size_bytes / 1e9:.2f} GB, built {_age(state.created_at)}"
        if not state.ours:
            return CheckResult.ready(
                f"{found}, but not by this program; do this step again to build its own"
            )
        if not state.fresh:
            other = "other inputs than now"
            if state.channel != self._image.channel:
                other = f"Petals' channel {state.channel}, not {self._image.channel}"
            return CheckResult.missing(
                f"{found} by version {state.version} from {other}: to be rebuilt"
            )
        return CheckResult.ready(f"{found} by version {state.version}")

    async def apply(self, report: Reporter) -> None:
        engine = await self._finder.engine()
        lock = self._image.paths.run / "image.lock"
        async with work_lock(lock, "building", report) as waited:
            # Another program may have built it while this one waited.
            state = await self._image.state(engine)
            fresh = state is not None and state.fresh
            if not (waited and fresh):
                await self._image.build(engine, report, no_cache=fresh)


class ContainerVerifyStep(Step):
    """A container of the image, as confined as the hosting one, imports the whole stack."""

    id = "container"
    title = "Container verification"
    in_container = True
    needs = ("image",)

    def __init__(
        self, paths: Paths, config: Config, image: PetalsImage, finder: EngineFinder
    ) -> None:
        self._paths = paths
        self._config = config
        self._image = image
        self._finder = finder

    async def check(self) -> CheckResult:
        state = await self._image.state(await self._finder.engine())
        found = self._verified(state) if state is not None else None
        if found is None:
            return CheckResult.missing("Not verified yet")
        versions = found.get("versions", {})
        named = ", ".join(
            f"{name} {versions[name]}"
            for name in ("petals", "hivemind", "torch")
            if name in versions
        )
        return CheckResult.ready(f"{named} on {', '.join(found.get('devices', []))}")

    async def apply(self, report: Reporter) -> None:
        engine = await self._finder.engine()
        state = await self._image.state(engine)
        if state is None:
            raise TorbizError(
                "There is no image.", remedy="Retry the step before.", code="no_image"
            )
        report.progress(None, "Importing Petals in a container")
        result = await probe_image(
            engine,
            state.id,
            self._config.docker.container,
            gpus=self._gives_gpus(engine),
            report=report,
        )
        message = result.message or {}
        if not message.get("ok"):
            raise TorbizError(
                "Petals cannot be imported in a container of the image.",
                why=str(message.get("error", result.end)),
                remedy="Do the step before again: it builds the image anew."
                if state.ours
                else "This program has not built this image; do the step before again to build it.",
                code="image_broken",
                details=result.last_lines,
            )
        found = {key: message[key] for key in ("versions", "devices") if key in message}
        write_json(self._file, {"id": state.id, "found": found})

    @property
    def _file(self) -> Path:
        return self._paths.run / "image-verified.json"

    def _verified(self, state: ImageState) -> dict[str, Any] | None:
        """What the last verification found, if it was of exactly this image."""
        try:
            data = json.loads(self._file.read_text("utf-8"))
            return dict(data["found"]) if data["id"] == state.id else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _gives_gpus(self, engine: Engine) -> bool:
        return engine.facts.nvidia and self._config.docker.gpus != "none"


def _age(created_at: float) -> str:
    seconds = time.time() - created_at
    if seconds < _MINUTE_S:
        return "just now"
    if seconds < _HOUR_S:
        return f"{int(seconds) // _MINUTE_S} min ago"
    if seconds < _DAY_S:
        return f"{int(seconds) // _HOUR_S} h ago"
    days = int(seconds) // _DAY_S
    return f"{days} day{'' if days == 1 else 's'} ago"
