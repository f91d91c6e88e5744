"""Clean-up of the engine: what is ours, what it frees, and its removal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torbiz_tui.config import DockerConfig
from torbiz_tui.environments.docker.holdings import (
    ContainerInfo,
    Holdings,
    ImageInfo,
    Owner,
    holders,
    removal_order,
    same_tag,
    short,
)
from torbiz_tui.errors import TorbizError

if TYPE_CHECKING:
    from torbiz_tui.environments.docker.inventory import DockerInventory


@dataclass(frozen=True)
class Candidate:
    """Something of ours on the engine.

    `kind` is `container` or `image`; `bytes` is what its removal frees (of layers that several of
    ours share, the last one frees them, so the sum is that of all together); `why_ours` and
    `in_use` are for people, `in_use` is empty when it can be removed. `by_name`: it does not carry
    our label, only the configured name.
    """

    kind: str
    name: str
    id: str
    bytes: int
    why_ours: str
    in_use: str = ""
    references: tuple[str, ...] = ()
    by_name: bool = False


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up has freed, what it removed, and what it could not."""

    bytes: int
    removed: tuple[str, ...]
    problems: tuple[TorbizError, ...]


def candidates(holdings: Holdings, config: DockerConfig) -> list[Candidate]:
    """Everything of ours, containers first, so that their images are free after them."""
    found = [_container(box) for box in holdings.containers if box.owner is not Owner.OTHER]
    ours = [image for image in holdings.images if image.owner is not Owner.OTHER]
    # The order in which the bytes were shared out.
    ours.sort(key=lambda image: removal_order(image, holdings.containers))
    return found + [_image(image, holdings, config) for image in ours]


async def remove_candidates(
    inventory: DockerInventory, chosen: Sequence[Candidate], tell: Callable[[str], None]
) -> Cleaned:
    """Remove what is still ours and not in use, nothing by force. Raises what an engine raises."""
    freed, removed, problems = 0, [], []
    now = {
        candidate.id: candidate
        for candidate in candidates(await inventory.holdings(), inventory.config)
    }
    for wanted in chosen:
        candidate = now.get(wanted.id)
        if candidate is None:
            tell(f"{wanted.kind} {wanted.name} is gone already.")
            continue
        try:
            await _remove(inventory, candidate)
        except TorbizError as error:
            if error.code in ("docker_gone", "docker_timeout"):
                raise
            problems.append(error)
            tell(f"{candidate.kind} {candidate.name} stays: {error}")
            continue
        freed += candidate.bytes
        removed.append(candidate.name)
        tell(f"Removed the {candidate.kind} {candidate.name}.")
    return Cleaned(freed, tuple(removed), tuple(problems))


async def _remove(inventory: DockerInventory, candidate: Candidate) -> None:
    if candidate.in_use:
        raise TorbizError(
            f"The {candidate.kind} {candidate.name} is in use.",
            why=candidate.in_use,
            remedy="Stop sharing first." if candidate.kind == "container" else "",
            code="in_use",
        )
    if candidate.kind == "container":
        await inventory.remove_container(candidate.id)
        return
    for reference in candidate.references:
        await inventory.remove_image_reference(reference)


def _container(box: ContainerInfo) -> Candidate:
    return Candidate(
        kind="container",
        name=box.name,
        id=box.id,
        bytes=box.bytes or 0,
        why_ours=_why(box.owner),
        by_name=box.owner is Owner.NAMED,
        in_use=f"It is {'paused' if box.paused else 'running'}." if box.running else "",
    )


def _image(image: ImageInfo, holdings: Holdings, config: DockerConfig) -> Candidate:
    holding = holders(image, holdings.containers)
    references = image.tags or (image.id,)
    why = _why(image.owner)
    if image.owner is Owner.NAMED:
        # Other names of the same image are the person's own.
        references = tuple(tag for tag in image.tags if same_tag(config.image, (tag,)))
        if not image.goes_whole:
            why += " Only this name of it goes; it has others, so no disk is freed."
    return Candidate(
        kind="image",
        name=image.name if image.tags else f"{image.role or 'untagged'} {short(image.id)}",
        id=image.id,
        bytes=holdings.freed.get(image.id, 0),
        why_ours=why,
        by_name=image.owner is Owner.NAMED,
        in_use=f"The container {', '.join(holding)} is made from it." if holding else "",
        references=references,
    )


def _why(owner: Owner) -> str:
    if owner is Owner.OURS:
        return "It carries this program's label."
    return "It has the configured name, without this program's label."
