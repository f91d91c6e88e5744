"""The image that hosts: what it must be made of, and whether the one that is there is that."""

from __future__ import annotations

from dataclasses import dataclass

from torbiz_tui.config import Config
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.paths import Paths

LABEL = "torbiz-tui"
"""Marks what is ours: images, and with `torbiz-tui.role=seeder` the container that hosts."""
LABEL_VERSION = f"{LABEL}.version"
LABEL_DIGEST = f"{LABEL}.inputs"
LABEL_ROLE = f"{LABEL}.role"
LABEL_SPEC = f"{LABEL}.spec"


@dataclass(frozen=True)
class ImageState:
    """The image under our tag as the engine has it.

    `fresh`: built from the inputs that this program would build from now; `ours`: it carries our
    label (Torbiz Desktop's own image of the same tag does not); `version` the program's at that
    time.
    """

    tag: str
    id: str
    size_bytes: int
    created_at: float
    fresh: bool
    ours: bool
    version: str = ""
    digest: str = ""


class PetalsImage:
    """The image for one configuration."""

    def __init__(self, paths: Paths, config: Config) -> None:
        self._paths = paths
        self._config = config

    def digest(self, engine: Engine) -> str:
        """A name for all that the image should be built from."""
        raise NotImplementedError(engine)

    async def state(self, engine: Engine) -> ImageState | None:
        """The image that is there; None when there is none."""
        raise NotImplementedError(engine)
