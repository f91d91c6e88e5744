"""What a person asks to share, checked against the model's facts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torbiz_tui.catalogue import DEMO_MODEL, ModelInfo
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.errors import UsageError
from torbiz_tui.sharing.petals_options import addresses_of, normalised, require_hub_model, value_of

# A server that dies stays "online" for others until twice this has passed.
_DEMO_UPDATE_PERIOD_S = 10
# The server's own default, which is Petals'.
_UPDATE_PERIOD_S = 120
_BLOCKS = re.compile(r"^(?:auto|\d+|\d+:\d+)$")


@dataclass(frozen=True)
class ShareRequest:
    """What a person asks for; see `ServerSpec` for the forms.

    `loopback` keeps the server on 127.0.0.1, unseen by other machines. `anyway` shares also where
    not one block seems to fit. `petals_options` are those of Petals' own command line, as
    `normalised` gives them. `dht_prefix` is what the swarm calls the model's blocks; empty takes
    the model's own. The last five are the keys of `share` that have their names.
    """

    model: str
    blocks: str = "auto"
    device: str = "auto"
    torch_dtype: str = "auto"
    quantization: str = "none"
    throughput: str = "auto"
    port: int = 31337
    new_swarm: bool = False
    initial_peers: tuple[str, ...] = ()
    public_name: str = ""
    announce_maddrs: tuple[str, ...] = ()
    attn_cache_tokens: int | None = None
    loopback: bool = False
    anyway: bool = False
    allow_pickled: bool = False
    swarm_name: str = ""
    dht_prefix: str = ""
    petals_options: tuple[str, ...] = ()
    hours: str = ""
    mains_only: bool = False
    pause_when_busy: int | None = None
    reserve_percent: int = 20
    restart_on_crash: bool = True


def require_name(model: str) -> str:
    """The model's name without blanks around it. Raises UsageError when there is none."""
    if not model.strip():
        raise UsageError(
            "Which model should be shared?",
            remedy=f"Name one: {DEMO_MODEL}, a folder, or a Hugging Face id.",
            code="no_model",
        )
    return model.strip()


def make_spec(request: ShareRequest, model: ModelInfo) -> ServerSpec:
    """The request with the model's facts filled in. Raises UsageError naming what is wrong."""
    check_blocks(request.blocks, model)
    if not 1 <= request.port <= 65_535:
        raise UsageError(
            f"The port {request.port} does not exist.", remedy="Give a number from 1 to 65535."
        )
    options = normalised(request.petals_options)
    require_hub_model(options, model)
    addresses = addresses_of(options, request.port, request.announce_maddrs)
    own_period = value_of(options, "update_period")
    announced_every = own_period or (_DEMO_UPDATE_PERIOD_S if model.demo else _UPDATE_PERIOD_S)
    _require_lasting(value_of(options, "expiration"), announced_every)
    dtype = request.torch_dtype
    return ServerSpec(
        model=model.name,
        source=model.source,
        num_blocks=model.num_blocks,
        dht_prefix=request.dht_prefix or model.dht_prefix,
        blocks=f"0:{model.num_blocks}"
        if request.blocks == "auto" and model.demo
        else request.blocks,
        device=request.device,
        torch_dtype="float32" if dtype == "auto" and model.demo else dtype,
        quantization=request.quantization,
        # Measuring would take longer than all the rest of the demo's start.
        throughput="1" if request.throughput == "auto" and model.demo else request.throughput,
        port=request.port,
        new_swarm=request.new_swarm,
        initial_peers=request.initial_peers,
        host_maddrs=addresses.host or (_loopback(request.port) if request.loopback else ()),
        announce_maddrs=addresses.announce,
        public_name=request.public_name,
        attn_cache_tokens=request.attn_cache_tokens,
        update_period_s=_DEMO_UPDATE_PERIOD_S if model.demo and own_period is None else None,
        swarm_name=request.swarm_name,
        allow_pickled=request.allow_pickled,
        petals_options=options,
        hours=request.hours,
        mains_only=request.mains_only,
        pause_when_busy=request.pause_when_busy,
        reserve_percent=request.reserve_percent,
        restart_on_crash=request.restart_on_crash,
    )


def _require_lasting(expiration: object, period: object) -> None:
    if not (isinstance(expiration, float) and isinstance(period, (float, int))):
        return
    if expiration <= period:
        raise UsageError(
            f"Petals' options: expiration {expiration:g} is not above the {period:g} s between two"
            " announcements: the blocks would vanish until the next one.",
            remedy="Give more, or a shorter update_period besides.",
            code="petals_option",
        )


def request_of(spec: ServerSpec) -> ShareRequest:
    """What asks for a server like this one, such as the one that runs."""
    own_address = value_of(spec.petals_options, "public_ip") is not None
    return ShareRequest(
        model=spec.model if spec.model == DEMO_MODEL else spec.source,
        blocks=spec.blocks,
        device=spec.device,
        torch_dtype=spec.torch_dtype,
        quantization=spec.quantization,
        throughput=spec.throughput,
        port=spec.port,
        new_swarm=spec.new_swarm,
        initial_peers=spec.initial_peers,
        public_name=spec.public_name,
        announce_maddrs=() if own_address else spec.announce_maddrs,
        attn_cache_tokens=spec.attn_cache_tokens,
        loopback=spec.host_maddrs == _loopback(spec.port),
        allow_pickled=spec.allow_pickled,
        petals_options=spec.petals_options,
        swarm_name=spec.swarm_name,
        dht_prefix=spec.dht_prefix,
        hours=spec.hours,
        mains_only=spec.mains_only,
        pause_when_busy=spec.pause_when_busy,
        reserve_percent=spec.reserve_percent,
        restart_on_crash=spec.restart_on_crash,
    )


def _loopback(port: int) -> tuple[str, ...]:
    return (f"/ip4/127.0.0.1/tcp/{port}",)


def check_blocks(blocks: str, model: ModelInfo) -> None:
    """Raises UsageError when `blocks` is not `auto`, a number, or a range within the model."""
    accepted = f"Give auto, a number from 1 to {model.num_blocks}, or a range A:B within 0:{model.num_blocks}."
    if not _BLOCKS.match(blocks):
        raise UsageError(f"Blocks {blocks!r} is not understood.", remedy=accepted)
    if blocks == "auto":
        return
    if ":" in blocks:
        start, end = (int(part) for part in blocks.split(":"))
        if not 0 <= start < end <= model.num_blocks:
            raise UsageError(
                f"Blocks {blocks} are not in {model.name}, which has {model.num_blocks}.",
                remedy=accepted,
            )
    elif not 1 <= int(blocks) <= model.num_blocks:
        raise UsageError(
            f"{model.name} has {model.num_blocks} blocks, not {blocks}.", remedy=accepted
        )
