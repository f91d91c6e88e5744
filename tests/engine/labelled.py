"""Images and containers with this program's labels, small and quick to make."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from random import Random

import docker

MB = 1_000_000


def build(
    client: docker.DockerClient,
    dockerfile: str,
    tag: str = "",
    files: Mapping[str, int] | None = None,
    *,
    inputs: str = "",
) -> None:
    """Build an image; `files` are bytes of these sizes in the context, the same at each build.

    `inputs` is the label that Setup gives to its builds.
    """
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        _add(archive, "Dockerfile", dockerfile.encode())
        for name, size in (files or {}).items():
            _add(archive, name, Random(f"{name} {size}").randbytes(size))
    context.seek(0)
    for event in client.api.build(
        fileobj=context,
        custom_context=True,
        tag=tag or None,
        decode=True,
        rm=True,
        labels={"torbiz-tui.inputs": inputs, "torbiz-tui.version": "1.0"} if inputs else None,
    ):
        assert "error" not in event, event["error"]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def two_stages(base: str, stage_mb: int = 30, own_mb: int = 5) -> tuple[str, dict[str, int]]:
    """A Dockerfile as ours: a labelled build stage, and a runtime image that copies from it."""
    text = f"""
FROM {base} AS build
LABEL torbiz-tui.role=build-stage
COPY stage /stage
FROM {base}
COPY --from=build /stage /final
COPY own /own
LABEL torbiz-tui.role=image torbiz-tui.version=9.9
"""
    return text, {"stage": stage_mb * MB, "own": own_mb * MB}
