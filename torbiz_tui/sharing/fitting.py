"""How many blocks a request gets: what fits, said before anything is started."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial

from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.errors import TorbizError
from torbiz_tui.fit import (
    DTYPE_BYTES,
    Fit,
    configured_fit,
    configured_place,
    memory_text,
    without_gpu,
)
from torbiz_tui.hardware import Hardware, as_containers_see, look, nvidia_gpu
from torbiz_tui.paths import Paths
from torbiz_tui.sharing.adapter_sizes import AdapterSizes
from torbiz_tui.sharing.petals_options import value_of
from torbiz_tui.sharing.refusals import DOES_NOT_FIT
from torbiz_tui.sharing.request import ShareRequest
from torbiz_tui.threads import call_abandonable

_REMOTE = ("ssh://", "tcp://", "http://", "https://")
# What the hub has told once holds for the form, too, which cannot wait for it.
_SIZES = AdapterSizes()


@dataclass(frozen=True)
class ChosenBlocks:
    """The blocks of a request in the form of `ServerSpec.blocks`, and what is to be said of them.

    `note` says how `auto` was decided, `warning` what does not fit; empty where nothing is to say.
    """

    blocks: str
    note: str = ""
    warning: str = ""


async def fitting_blocks(
    request: ShareRequest,
    model: ModelInfo,
    config: Config,
    paths: Paths,
    hosting: str,
    memory: int | None = None,
) -> ChosenBlocks:
    """Look at this machine and choose; `hosting` is the name of the environment that hosts.

    `memory` as `EnvironmentDriver.machine_memory` tells it. Raises TorbizError (`does_not_fit`)
    when not one block fits.
    """
    machine = await call_abandonable(partial(look, paths.cache), "look at the machine")
    machine = as_containers_see(machine, memory)
    await _SIZES.learn(_adapters(request), paths.cache)
    try:
        fit = fit_for(request, model, config, machine, hosting)
    except TorbizError as error:
        # A device that is not seen here may be one that Petals finds, and says so if not.
        unknown = request.blocks == "auto" and not model.demo
        note = f"It is not known how many blocks fit: {error.why}" if unknown else ""
        return ChosenBlocks(request.blocks, note=note)
    return choose_blocks(request, model, fit)


def fit_for(
    request: ShareRequest, model: ModelInfo, config: Config, machine: Hardware, hosting: str
) -> Fit:
    """How the model fits where this request would host it. Raises TorbizError when unknown."""
    if hosted_elsewhere(config, hosting):
        raise _unknown("The container engine is on another machine.")
    wanted = replace(
        config.share,
        device=request.device,
        torch_dtype=request.torch_dtype,
        quantization=request.quantization,
        attn_cache_tokens=request.attn_cache_tokens,
        reserve_percent=request.reserve_percent,
    )
    config = replace(config, share=wanted)
    place = configured_place(config, machine, hosting)
    handlers = value_of(request.petals_options, "num_handlers")
    if isinstance(handlers, int):
        place = replace(place, handlers=handlers)
    fit = configured_fit(config, model, place)
    if fit is None:
        raise _unknown(f"The sizes of {model.name} are not known.")
    if fit.blocks is None:
        raise _unknown(fit.sentence())
    return _with_adapters(fit, _adapters(request))


def _adapters(request: ShareRequest) -> tuple[str, ...]:
    adapters = value_of(request.petals_options, "adapters")
    return adapters if isinstance(adapters, tuple) else ()


def _with_adapters(fit: Fit, adapters: tuple[str, ...]) -> Fit:
    if not adapters:
        return fit
    beside = _SIZES.beside_block(adapters, fit.num_blocks, DTYPE_BYTES[fit.needs.dtype])
    needs = replace(fit.needs, adapters_per_block=beside.size)
    return replace(fit, needs=needs, adapters_left_out=beside.unknown)


def hosted_elsewhere(config: Config, hosting: str) -> bool:
    """Whether the container engine that hosts is on another machine."""
    return hosting == "docker" and _engine_address(config).startswith(_REMOTE)


def computes_on_gpu(spec: ServerSpec, config: Config, hosting: str) -> bool:
    """Whether a GPU that is seen here may be what the server computes on.

    Left to itself it takes one of NVIDIA, for which Setup installs torch.
    """
    if hosted_elsewhere(config, hosting):
        return False
    return spec.device != "auto" or (bool(nvidia_gpu()) and not without_gpu(config, hosting))


def choose_blocks(request: ShareRequest, model: ModelInfo, fit: Fit) -> ChosenBlocks:
    """The blocks to serve, of which `fit` knows how many fit.

    Petals fills a GPU itself by what its driver says is free; on a processor it has to be told.
    Raises TorbizError (`does_not_fit`) when not one block fits, unless the request says `anyway`.
    The demo is small enough to be tried.
    """
    total = model.num_blocks
    asked = asked_blocks(request.blocks, total)
    if fit.blocks is None:
        return ChosenBlocks(request.blocks)
    if not fit.blocks and not (request.anyway or model.demo):
        raise TorbizError(
            f"Not one block of {model.name} fits on this machine.",
            why=fit.sentence(),
            remedy="End other programs, choose a smaller model, quantize it (int8, nf4; on an"
            " NVIDIA GPU), or share all the same with --anyway.",
            code=DOES_NOT_FIT,
        )
    if asked is not None:
        return ChosenBlocks(request.blocks, warning=_too_many(asked, fit))
    if model.demo:
        return ChosenBlocks(request.blocks, warning=_too_many(total, fit))
    if fit.place.kind != "cpu":
        return ChosenBlocks(request.blocks)
    chosen = max(1, fit.blocks)
    if not fit.blocks:
        return ChosenBlocks(str(chosen), warning=_too_many(chosen, fit))
    return ChosenBlocks(str(chosen), note=fit.sentence())


def asked_blocks(blocks: str, total: int) -> int | None:
    """How many blocks a number or a range is; None for `auto`."""
    if blocks == "auto":
        return None
    first, colon, end = blocks.partition(":")
    return min(total, int(end) - int(first) if colon else int(first))


def _too_many(asked: int, fit: Fit) -> str:
    if fit.blocks is None or asked <= fit.blocks:
        return ""
    blocks = "1 block takes" if asked == 1 else f"{asked} blocks take"
    return (
        f"{blocks} {memory_text(fit.needs.total(asked))}, which may not fit: {fit.sentence()}"
        " The system may end the server when it runs out of memory."
    )


def _unknown(why: str) -> TorbizError:
    return TorbizError("It is not known how many blocks fit.", why=why, code="fit_unknown")


def _engine_address(config: Config) -> str:
    return config.docker.host or os.environ.get("DOCKER_HOST", "")
