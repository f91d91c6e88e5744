"""Building the image on the engine: visible, cancellable, with its failures explained."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torbiz_tui import __version__
from torbiz_tui.catalogue import RELEASE
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.build_context import (
    BuildContext,
    requirements,
    uv_version,
)
from torbiz_tui.environments.docker.build_failures import build_failure
from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.environments.docker.build_sources import BuildSources, build_sources
from torbiz_tui.environments.docker.engine import Engine
from torbiz_tui.environments.docker.image import (
    LABEL_CHANNEL,
    LABEL_DIGEST,
    LABEL_VERSION,
    ImageState,
    PetalsImage,
    inspect_image,
)
from torbiz_tui.environments.docker.wheelhouse import Wanted, local_packages, read_pins
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact
from torbiz_tui.paths import Paths, write_json
from torbiz_tui.setup.step import Reporter

if TYPE_CHECKING:
    from docker import DockerClient

_TICK_S = 1.0
_DOING = "building the image"


async def build_image(
    image: PetalsImage,
    paths: Paths,
    config: Config,
    engine: Engine,
    report: Reporter,
    *,
    no_cache: bool = False,
) -> None:
    """Build `image` and tag it.

    Raises TorbizError: the instruction that failed and why, `build_timeout`, and what
    `Engine.stream` raises. Cancelling ends the build on the engine; its finished layers are kept.
    """
    sources = await asyncio.to_thread(build_sources, paths, config, os.environ)
    context = await asyncio.to_thread(_context, image, sources, engine)
    packages = [name for name in context.files if name.endswith((".whl", ".gz"))]
    report.output(
        f"Building {image.tag} on {config.docker.base_image} for {image.platform(engine)}, with"
        f" torch's {image.torch_build(engine)} build; {len(packages)} packages of this machine go"
        f" along ({context.size / 1e6:.0f} MB)."
    )
    network = _network(config, engine, sources, report)
    before = await image.state(engine)
    output = BuildOutput()

    def start(client: DockerClient) -> Iterator[dict[str, Any]]:
        built: Iterator[dict[str, Any]] = client.api.build(
            fileobj=context.stream(),  # type: ignore[arg-type]  # requests takes an iterator
            custom_context=True,
            decode=True,
            tag=image.tag,
            rm=True,
            forcerm=True,
            nocache=no_cache,
            buildargs={
                "BASE_IMAGE": config.docker.base_image,
                "TORCH": image.torch_build(engine),
                **sources.arguments,
            },
            labels={
                LABEL_VERSION: __version__,
                LABEL_DIGEST: image.digest(engine),
                LABEL_CHANNEL: image.channel,
            },
            network_mode=network,
            platform=config.docker.platform or None,
        )
        return built

    try:
        async with (
            _progress(context, output, report),
            asyncio.timeout(config.docker.build_timeout_s),
            contextlib.aclosing(engine.stream(start, doing=_DOING)) as items,
        ):
            async for item in items:
                for line in output.feed(item):
                    report.output(redact(line))
    except TimeoutError:
        raise TorbizError(
            f"The build did not finish within {config.docker.build_timeout_s:.0f} s.",
            why=f"It was at: {output.sentence()}.",
            remedy="Try again (finished steps are kept), or raise docker.build_timeout_s.",
            code="build_timeout",
        ) from None
    except TorbizError as error:
        raise context.failure or _refused(error, output) from error
    except Exception as error:
        # The engine answers some failures at once instead of in the stream.
        if not hasattr(error, "explanation"):
            raise
        output.error = " ".join(str(error.explanation or error).split())
        raise build_failure(output) from error
    if output.error:
        raise build_failure(output)
    await _drop_replaced(image, paths, engine, before, output.stage_image)


def _refused(error: TorbizError, output: BuildOutput) -> TorbizError:
    if error.code != "docker_failed":
        return error
    output.error = error.why
    return build_failure(output)


def _context(image: PetalsImage, sources: BuildSources, engine: Engine) -> BuildContext:
    wanted = Wanted(
        pins=read_pins(requirements(image.channel), {"uv": uv_version()}),
        platform=image.platform(engine),
        torch=image.torch_build(engine),
    )
    return BuildContext.of(
        local_packages(sources.folders, sources.indexes, wanted),
        sources.certificate,
        _pins_file(image),
    )


def _pins_file(image: PetalsImage) -> Path | None:
    """The pins that are not those of the folder, written down for the context."""
    if image.channel == RELEASE:
        return None
    file = image.paths.run / "image-requirements.txt"
    try:
        file.write_text(requirements(image.channel), encoding="utf-8")
    except OSError as error:
        raise TorbizError(
            f"The file {file} cannot be written.",
            why=f"{error.strerror}.",
            remedy="Free some disk space or mend the permissions, then try again.",
            code="run_not_writable",
        ) from error
    return file


def _network(config: Config, engine: Engine, sources: BuildSources, report: Reporter) -> str | None:
    if config.docker.build_network or not sources.loopback:
        return config.docker.build_network or None
    if engine.facts.host_network:
        report.output(
            f"The build uses this machine's network, since {sources.loopback} is among its sources."
        )
        return "host"
    report.output(
        f"The build may not reach {sources.loopback}, which is among its sources: in a container"
        " that name means the container itself."
    )
    return None


@asynccontextmanager
async def _progress(
    context: BuildContext, output: BuildOutput, report: Reporter
) -> AsyncIterator[None]:
    """Report where the build is, also while nothing comes."""
    began = time.monotonic()
    size = context.size

    def tell() -> None:
        seconds = int(time.monotonic() - began)
        text = output.sentence()
        if not output.steps and context.sent < size:
            text = f"Sending {context.sent / 1e6:.0f} of {size / 1e6:.0f} MB to the engine"
        report.progress(output.fraction, f"{text}, {seconds // 60}:{seconds % 60:02d}")

    async def tick() -> None:
        while True:
            tell()
            await asyncio.sleep(_TICK_S)

    ticking = asyncio.create_task(tick(), name="progress of the build")
    try:
        yield
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking


async def _drop_replaced(
    image: PetalsImage, paths: Paths, engine: Engine, before: ImageState | None, stage: str
) -> None:
    """Remove the image that this build replaced, and the layers that only its build needed.

    Only what this program built, has no name any more and no container is made from; other
    leftovers are the clean-up's.
    """
    after = await image.state(engine)
    if after is None:
        raise TorbizError(
            "The image is gone right after its build.",
            remedy="Somebody else has removed it; build it again.",
            code="no_image",
        )
    file = paths.run / "image-build.json"
    last_stage = _remembered_stage(paths, image.tag)
    if before is not None and before.ours and before.id != after.id:
        await _remove_unused(engine, before.id)
    if not stage:
        return
    stage = await _full_id(engine, stage) or stage
    if last_stage and last_stage != stage:
        await _remove_unused(engine, last_stage)
    write_json(file, {"tag": image.tag, "stage": stage})


def _remembered_stage(paths: Paths, tag: str) -> str:
    try:
        data = json.loads((paths.run / "image-build.json").read_text("utf-8"))
        return str(data["stage"]) if data["tag"] == tag else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


async def _full_id(engine: Engine, short: str) -> str:
    found = await _if_there(
        engine, lambda client: inspect_image(client, short), "looking for the build's layers"
    )
    return str(found["Id"]) if found else ""


async def _remove_unused(engine: Engine, image_id: str) -> None:
    def remove(client: DockerClient) -> None:
        found = inspect_image(client, image_id)
        # Under a name of the person's own it stays.
        if not [tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>"]:
            client.api.remove_image(image_id)

    await _if_there(engine, remove, "removing the image that was replaced")


async def _if_there(engine: Engine, work: Callable[[DockerClient], Any], doing: str) -> Any:
    """What `work` gives; None when there is no such image, or it is in use."""
    from docker import errors

    try:
        return await engine.call(work, doing=doing, timeout_s=120.0)
    except errors.APIError:
        return None
