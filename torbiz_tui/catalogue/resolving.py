"""Finding a model: the demo, local folders, and models of the hub."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torbiz_tui.catalogue.architecture import MAIN, RELEASE, read_architecture
from torbiz_tui.catalogue.hub import hub_config
from torbiz_tui.catalogue.local import count_parameters, local_folder, local_info, read_config
from torbiz_tui.catalogue.model_info import DEMO_MODEL, ModelInfo
from torbiz_tui.catalogue.published import PUBLISHED
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths, demo_model

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")


def demo_info() -> ModelInfo:
    """The model that ships with the program. Raises TorbizError when its files are damaged."""
    folder = demo_model()
    built = read_architecture(DEMO_MODEL, read_config(folder / "config.json"))
    return ModelInfo(
        name=DEMO_MODEL,
        source=str(folder),
        model_type=built.family,
        num_blocks=built.num_blocks,
        torch_dtype="float32",
        dht_prefix=f"{DEMO_MODEL}-hf",
        demo=True,
        note="ships with the program, knows only its documentation",
        parameters=count_parameters(folder),
        kind="chat",
        channel=built.channel,
        architecture=built,
    )


def known_models(paths: Paths) -> list[ModelInfo]:
    """The demo, the folders in `models/`, then models of the hub; reads files only."""
    found: list[ModelInfo] = []
    folders = [config.parent for config in sorted(paths.models.glob("*/config.json"))]
    describers: list[Callable[[], ModelInfo]] = [
        demo_info,
        *(partial(local_info, folder) for folder in folders),
    ]
    for describe in describers:
        # What cannot be served is refused with its reason when it is chosen by name.
        with contextlib.suppress(TorbizError):
            found.append(describe())
    return found + published_models()


def published_models() -> list[ModelInfo]:
    """Models of the hub with the facts of their published configs, which no network is asked for."""
    return [model.info() for model in PUBLISHED]


async def resolve_model(
    name: str, paths: Paths, *, channel: str = RELEASE, token: str = "", revision: str = ""
) -> ModelInfo:
    """The facts of a model by name, folder or hub id, read from its own config.

    `token` is one for the hub, in place of that of the environment; `revision` a branch, a tag or a
    commit there, empty for main. Raises UsageError when the model
    does not exist, needs a licence or a token, or cannot be served by this channel of Petals.
    """
    if name == DEMO_MODEL:
        return demo_info()
    folder = local_folder(name, paths)
    if folder is not None:
        found = await asyncio.to_thread(local_info, folder)
    elif _HUB_ID.match(name):
        found = await _hub_info(name, token, revision)
    else:
        raise UsageError(
            f"There is no model {name!r}.",
            why="It is neither a folder nor of the form owner/name.",
            remedy=f"Give {DEMO_MODEL}, a folder that holds config.json, or a Hugging Face id.",
            code="model_not_found",
        )
    _require_channel(found, channel)
    return found


async def _hub_info(name: str, token: str, revision: str) -> ModelInfo:
    """What the model's own config says, and what the catalogue knows besides."""
    built = read_architecture(name, await hub_config(name, token, revision))
    known = next((model for model in published_models() if model.name == name), None)
    return replace(
        known or ModelInfo(name, name, built.family, built.num_blocks),
        model_type=built.family,
        num_blocks=built.num_blocks,
        torch_dtype=built.torch_dtype,
        parameters=built.parameters,
        channel=built.channel,
        architecture=built,
    )


def _require_channel(model: ModelInfo, channel: str) -> None:
    if model.channel != MAIN or channel == MAIN:
        return
    built = model.architecture
    reason = built.channel_reason if built is not None else f"type {model.model_type}"
    raise UsageError(
        f"{model.name} needs the main branch of Petals.",
        why=f"The released Petals 2.2.0 cannot load its {reason}.",
        remedy="Choose another model, or set petals.channel: main and run Setup (not for Docker).",
        code="model_unsupported",
    )
