"""Serving the demo model from a container: a home, a configuration, services."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.conftest import demo_config
from torbiz_tui.assembly import Services, build_services
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.service import SharingService
from torbiz_tui.sharing.state import SharingState


def docker_services(home: Path, image: str, container: str, **overrides: object) -> Services:
    """Services that host the demo in a container, with nothing of the person's own."""
    values: dict[str, object] = {
        "environment": "docker",
        "docker.image": image,
        "docker.container": container,
        "docker.model_cache": str(home / "huggingface"),
        **overrides,
    }
    return build_services(demo_config(home, **values), Paths(home))


# When waiting is given up, which a program that works never comes to, on any machine.
SERVING_S = 180.0
CHANGED_S = 90.0


async def until(
    sharing: SharingService, fits: Callable[[SharingState], bool], timeout_s: float = CHANGED_S
) -> SharingState:
    """Wait for a state, also for one that lasts a moment."""
    with sharing.subscribe() as changes:
        states = aiter(changes)
        state = sharing.state
        async with asyncio.timeout(timeout_s):
            while not fits(state):
                state = await anext(states)
    return state
