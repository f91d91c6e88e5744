"""Containers and images as the engine lists them, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.image import (
    LABEL,
    LABEL_DIGEST,
    LABEL_ROLE,
    ROLE_PROBE,
    ROLE_STAGE,
)
from torbiz_tui.environments.docker.layers import Layer, chains_of, freed_each, stack_of
from torbiz_tui.logs.sanitizing import sanitize_line

if TYPE_CHECKING:
    from docker import DockerClient

_ROLE_SEEDER = "seeder"
_CONTAINER_ROLES = (_ROLE_SEEDER, ROLE_PROBE)
_NEVER_RAN = "created"
_SHORT_ID = 12
_UNTAGGED = "<none>:<none>"


class Owner(StrEnum):
    """Who made a container or an image.

    OURS carries this program's label; NAMED has the configured name without the label, as Torbiz
    Desktop's own have.
    """

    OURS = "ours"
    NAMED = "named"
    OTHER = "other"


@dataclass(frozen=True)
class ContainerInfo:
    """A container. `state` is the engine's word, `status` its sentence (`Up 3 minutes`).

    `hosted` says whether a server ran in it, so that its log belongs into container.log.
    """

    name: str
    id: str
    image: str
    image_id: str
    state: str
    status: str
    created_at: float
    owner: Owner
    bytes: int | None = None
    hosted: bool = False

    @property
    def running(self) -> bool:
        """Whether it has a process, also a paused one."""
        return self.state in ("running", "paused", "restarting", "removing")

    @property
    def paused(self) -> bool:
        """Whether it is paused."""
        return self.state == "paused"


@dataclass(frozen=True)
class ImageInfo:
    """An image. `unique_bytes` is what removing it alone frees; `used_by` names containers."""

    id: str
    tags: tuple[str, ...]
    size_bytes: int
    unique_bytes: int | None
    created_at: float
    owner: Owner
    role: str = ""
    version: str = ""
    used_by: tuple[str, ...] = ()

    @property
    def dangling(self) -> bool:
        """Whether no tag names it."""
        return not self.tags

    @property
    def goes_whole(self) -> bool:
        """Whether a clean-up would take it, and not just one name of it."""
        return self.owner is Owner.OURS or (self.owner is Owner.NAMED and len(self.tags) == 1)

    @property
    def name(self) -> str:
        """Its first tag, else its short id."""
        return self.tags[0] if self.tags else short(self.id)


@dataclass(frozen=True)
class Holdings:
    """What the engine holds. `freed` are the bytes by image id; in order, they add up."""

    containers: tuple[ContainerInfo, ...]
    images: tuple[ImageInfo, ...]
    freed: Mapping[str, int]
    ours_bytes: int | None
    total_bytes: int | None

    def image(self, reference: str) -> ImageInfo | None:
        """The image with this tag or id."""
        for image in self.images:
            if reference == image.id or same_tag(reference, image.tags):
                return image
        return None


def has_label(labels: Mapping[str, str] | None) -> bool:
    """Whether any of the labels is this program's."""
    return any(key == LABEL or key.startswith(f"{LABEL}.") for key in labels or ())


def same_tag(tag: str, tags: Sequence[str]) -> bool:
    """Whether `tag` is among them; Podman lists short names with a registry in front."""
    named = _plain(tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest")
    return any(named == _plain(known) for known in tags)


def _plain(tag: str) -> str:
    for registry in ("localhost/", "docker.io/library/", "docker.io/"):
        tag = tag.removeprefix(registry)
    return tag


def short(image_id: str) -> str:
    """An id as the docker command shows it."""
    return image_id.removeprefix("sha256:")[:_SHORT_ID]


def read_holdings(
    client: DockerClient, config: DockerConfig, usage: Mapping[str, Any] | None
) -> Holdings:
    """Ask the engine (blocking). `usage` is the answer of `/system/df`, for the sizes.

    Raises what the SDK raises.
    """
    boxes = [_container(listed, config, usage) for listed in client.api.containers(all=True)]
    listed_images = client.api.images()
    users: dict[str, list[str]] = {}
    for box in boxes:
        users.setdefault(box.image_id, []).append(box.name)
    shared = {entry["Id"]: entry.get("SharedSize") for entry in (usage or {}).get("Images") or ()}
    images = [
        _image(client, listed, config, users, shared.get(listed["Id"])) for listed in listed_images
    ]
    going = [image for image in images if image.goes_whole]
    going.sort(key=lambda image: removal_order(image, boxes))
    freed = _freed(client, going, [image for image in images if not image.goes_whole])
    own_files = sum(box.bytes or 0 for box in boxes if box.owner is not Owner.OTHER)
    return Holdings(
        containers=tuple(boxes),
        images=tuple(images),
        freed=freed,
        ours_bytes=None if usage is None else sum(freed.values()) + own_files,
        total_bytes=_total(usage or {}),
    )


def holders(image: ImageInfo, boxes: Sequence[ContainerInfo]) -> list[str]:
    """The containers that keep the image: those that run, and those that are not ours."""
    return [
        box.name
        for box in boxes
        if box.image_id == image.id and (box.running or box.owner is Owner.OTHER)
    ]


def removal_order(image: ImageInfo, boxes: Sequence[ContainerInfo]) -> tuple[bool, bool]:
    """What is kept comes last, since what others share with it stays with it; tags before that."""
    return bool(holders(image, boxes)), not image.dangling


def _container(
    listed: Mapping[str, Any], config: DockerConfig, usage: Mapping[str, Any] | None
) -> ContainerInfo:
    name = next(iter(listed.get("Names") or ()), "").removeprefix("/") or short(listed["Id"])
    labels = listed.get("Labels") or {}
    # A container inherits the labels of its image; only these roles are a container's own.
    if labels.get(LABEL_ROLE) in _CONTAINER_ROLES:
        owner = Owner.OURS
    else:
        owner = Owner.NAMED if name == config.container else Owner.OTHER
    sizes = {
        entry["Id"]: int(entry.get("SizeRw") or 0)
        for entry in (usage or {}).get("Containers") or ()
    }
    state = sanitize_line(str(listed.get("State", ""))).lower()
    hosts = owner is Owner.NAMED or labels.get(LABEL_ROLE) == _ROLE_SEEDER
    return ContainerInfo(
        name=sanitize_line(name),
        id=listed["Id"],
        image=sanitize_line(str(listed.get("Image", ""))),
        image_id=listed.get("ImageID", ""),
        state=state,
        status=sanitize_line(str(listed.get("Status", ""))),
        created_at=_seconds(listed.get("Created")),
        owner=owner,
        bytes=sizes.get(listed["Id"]),
        hosted=hosts and state != _NEVER_RAN,
    )


def _image(
    client: DockerClient,
    listed: Mapping[str, Any],
    config: DockerConfig,
    users: Mapping[str, Sequence[str]],
    shared: int | None,
) -> ImageInfo:
    labels = listed.get("Labels") or {}
    size = int(listed.get("Size") or 0)
    owner = Owner.NAMED if same_tag(config.image, listed.get("RepoTags") or ()) else Owner.OTHER
    if has_label(labels) and not _derived(client, listed):
        owner = Owner.OURS
    return ImageInfo(
        id=listed["Id"],
        tags=tuple(sanitize_line(tag) for tag in listed.get("RepoTags") or () if tag != _UNTAGGED),
        size_bytes=size,
        unique_bytes=None if shared is None or shared < 0 else max(0, size - shared),
        created_at=_seconds(listed.get("Created")),
        owner=owner,
        role=sanitize_line(labels.get(LABEL_ROLE, "")),
        version=sanitize_line(labels.get(f"{LABEL}.version", "")),
        used_by=tuple(users.get(listed["Id"], ())),
    )


def _derived(client: DockerClient, listed: Mapping[str, Any]) -> bool:
    """Whether somebody built this image on top of ours: it has inherited our labels then.

    Setup gives some of the labels to the build, which adds them in the last steps of all, in any
    order.
    """
    labels = listed.get("Labels") or {}
    # Podman labels the stages as well, in an earlier step.
    if LABEL_DIGEST not in labels or labels.get(LABEL_ROLE) == ROLE_STAGE:
        return False
    history = [str(entry.get("CreatedBy", "")) for entry in _history(client, listed["Id"])]
    last_steps = takewhile(lambda step: f"{LABEL}." in step, reversed(history))
    return bool(history) and not any(LABEL_DIGEST in step for step in last_steps)


def _freed(
    client: DockerClient, ours: Sequence[ImageInfo], others: Sequence[ImageInfo]
) -> dict[str, int]:
    if not ours:
        return {}
    return freed_each(
        {image.id: _stack(client, image.id) for image in ours},
        [chains_of(_layers(client, image.id)) for image in others],
    )


def _stack(client: DockerClient, image_id: str) -> tuple[Layer, ...]:
    sizes = [int(entry.get("Size") or 0) for entry in _history(client, image_id)]
    return stack_of(_layers(client, image_id), sizes)


def _history(client: DockerClient, image_id: str) -> list[Mapping[str, Any]]:
    """From the oldest entry on; empty for an image that has gone since it was listed."""
    from docker import errors

    api: Any = client.api
    try:
        return list(reversed(api.history(image_id)))
    except errors.NotFound:
        return []


def _layers(client: DockerClient, image_id: str) -> list[str]:
    from docker import errors

    api: Any = client.api
    try:
        return api.inspect_image(image_id).get("RootFS", {}).get("Layers") or []
    except errors.NotFound:
        return []


def _total(usage: Mapping[str, Any]) -> int | None:
    # Podman leaves the sum of the layers out.
    if (usage.get("Images") and not usage.get("LayersSize")) or not usage:
        return None
    own_files = sum(int(box.get("SizeRw") or 0) for box in usage.get("Containers") or ())
    volumes = sum(
        max(0, int((volume.get("UsageData") or {}).get("Size") or 0))
        for volume in usage.get("Volumes") or ()
    )
    cache = sum(
        int(entry.get("Size") or 0)
        for entry in usage.get("BuildCache") or ()
        if not entry.get("Shared")
    )
    return int(usage.get("LayersSize") or 0) + own_files + volumes + cache


def _seconds(created: object) -> float:
    """Seconds since the epoch; Podman gives some times as text."""
    if isinstance(created, str):
        try:
            return datetime.fromisoformat(created).timestamp()
        except ValueError:
            return 0.0
    return float(created) if isinstance(created, int | float) else 0.0
