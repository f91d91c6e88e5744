"""The image that hosts: what it must be made of, and whether the one that is there is that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from torbiz_tui.catalogue import RELEASE
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.errors import BlockedError
from torbiz_tui.logs.sanitizing import sanitize_line
from torbiz_tui.paths import Paths
from torbiz_tui.setup.step import Reporter

if TYPE_CHECKING:
    from docker import DockerClient

LABEL = "torbiz-tui"
"""Marks what is ours: images, and with `torbiz-tui.role=seeder` the container that hosts."""
LABEL_VERSION = f"{LABEL}.version"
LABEL_DIGEST = f"{LABEL}.inputs"
LABEL_CHANNEL = f"{LABEL}.channel"
LABEL_ROLE = f"{LABEL}.role"
LABEL_SPEC = f"{LABEL}.spec"

ROLE_IMAGE = "image"
"""The finished image, as its Dockerfile says."""
ROLE_STAGE = "build-stage"
"""The layers of the stage that installs; kept so that the next build is quick."""
ROLE_PROBE = "probe"
"""The container that verifies the image; it lives for seconds."""


@dataclass(frozen=True)
class ImageState:
    """The image under our tag as the engine has it.

    `fresh`: built from the inputs that this program would build from now; `ours`: this program has
    built it (Torbiz Desktop's own image of the same tag, or one built by hand, it has not);
    `version` the program's at that time; `channel` that of the Petals in it.
    """

    tag: str
    id: str
    size_bytes: int
    created_at: float
    fresh: bool
    ours: bool
    version: str = ""
    digest: str = ""
    channel: str = RELEASE


class PetalsImage:
    """The image for one configuration."""

    def __init__(self, paths: Paths, config: Config) -> None:
        self.paths = paths
        self._config = config

    @property
    def tag(self) -> str:
        """The name that it is built under."""
        return self._config.docker.image

    @property
    def channel(self) -> str:
        """Which Petals belongs into it: the release, or the main branch."""
        return str(self._config.petals.channel)

    def platform(self, engine: Engine) -> str:
        """What it is built for, such as `linux/arm64`."""
        wanted = self._config.docker.platform or engine.facts.platform
        return "/".join(wanted.lower().split("/")[:2])

    def torch_build(self, engine: Engine) -> str:
        """Which build of torch belongs into it: `cpu` or `cuda`."""
        wanted: str = self._config.petals.torch
        if wanted != "auto":
            return wanted
        return "cuda" if engine.facts.nvidia and self._config.docker.gpus != "none" else "cpu"

    def require_gpu_support(self, engine: Engine) -> None:
        """Raises BlockedError (`no_nvidia_toolkit`) when CUDA is wanted and cannot be had."""
        wanted = [
            key
            for key, asked in (
                ("petals.torch is cuda", self._config.petals.torch == "cuda"),
                ("docker.gpus is all", self._config.docker.gpus == "all"),
            )
            if asked
        ]
        if wanted and not engine.facts.nvidia:
            raise BlockedError(
                "This engine cannot give GPUs to a container.",
                why=f"{' and '.join(wanted).capitalize()}, but {engine.facts.name} does not have"
                " NVIDIA's runtime (the NVIDIA Container Toolkit).",
                remedy="Install the NVIDIA Container Toolkit and register it (`sudo nvidia-ctk"
                " runtime configure --runtime=docker`, then restart Docker), or set petals.torch"
                " to cpu and docker.gpus to none.",
                code="no_nvidia_toolkit",
            )

    def digest(self, engine: Engine) -> str:
        """A name for all that the image should be built from."""
        from torbiz_tui.environments.docker.build_context import inputs_digest

        return inputs_digest(
            torch=self.torch_build(engine),
            base_image=self._config.docker.base_image,
            platform=self.platform(engine),
            channel=self.channel,
        )

    async def state(self, engine: Engine) -> ImageState | None:
        """The image that is there; None when there is none. Raises what `Engine.call` raises."""
        from docker import errors

        try:
            found = await engine.call(
                lambda client: inspect_image(client, self.tag), doing="looking for the image"
            )
        except errors.NotFound:
            return None
        labels = (found.get("Config") or {}).get("Labels") or {}
        digest = sanitize_line(str(labels.get(LABEL_DIGEST, "")))
        return ImageState(
            tag=self.tag,
            id=found["Id"],
            size_bytes=int(found.get("Size") or 0),
            created_at=_seconds(found.get("Created")),
            fresh=digest == self.digest(engine),
            ours=bool(digest),
            version=sanitize_line(str(labels.get(LABEL_VERSION, ""))),
            digest=digest,
            channel=sanitize_line(str(labels.get(LABEL_CHANNEL) or RELEASE)),
        )

    async def build(self, engine: Engine, report: Reporter, *, no_cache: bool = False) -> None:
        """Build it and give it the tag; `no_cache` takes no layer of an earlier build.

        Cancelling ends the build on the engine. Raises TorbizError, see `build`.
        """
        from torbiz_tui.environments.docker.build import build_image

        self.require_gpu_support(engine)
        await build_image(self, self.paths, self._config, engine, report, no_cache=no_cache)


def inspect_image(client: DockerClient, name: str) -> dict[str, Any]:
    """All that the engine tells of an image (blocking). Raises docker.errors.NotFound."""
    api: Any = client.api
    return dict(api.inspect_image(name))


def _seconds(created: object) -> float:
    """Seconds since the epoch of an engine's time, which has nanoseconds."""
    try:
        return datetime.fromisoformat(str(created)).timestamp()
    except ValueError:
        return 0.0
