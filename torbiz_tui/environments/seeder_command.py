"""The arguments of `run_petals_seeder.py` and its supervisor, the same in every environment."""

from __future__ import annotations

from torbiz_tui.environments.base import ServerSpec

# Of Petals' options these stand in `host_maddrs` and `announce_maddrs`, which drivers may change.
_SAID_BY_ADDRESSES = ("host_maddrs", "public_ip")


def seeder_arguments(spec: ServerSpec, *, source: str, identity: str, cache: str) -> list[str]:
    """The command line after the script's name; `source`, `identity` and `cache` as that place
    names them (a path inside the container, say). Tokens are never part of it.
    """
    arguments = ["--model-name", source]
    options = {
        "--dht-prefix": spec.dht_prefix,
        "--blocks": spec.blocks,
        "--device": spec.device,
        "--torch-dtype": spec.torch_dtype,
        "--quantization": spec.quantization,
        "--throughput": spec.throughput,
        "--port": str(spec.port),
        "--public-name": spec.public_name,
        "--identity": identity,
        "--cache-dir": cache,
    }
    if spec.attn_cache_tokens is not None:
        options["--attn-cache-tokens"] = str(spec.attn_cache_tokens)
    if spec.update_period_s is not None:
        options["--update-period"] = str(spec.update_period_s)
    for option, value in options.items():
        if value:
            arguments += [option, value]
    if spec.new_swarm:
        arguments.append("--new-swarm")
    if spec.allow_pickled:
        arguments.append("--allow-pickled")
    for option, values in (
        ("--initial-peer", spec.initial_peers),
        ("--known-peer", spec.known_peers),
        ("--host-maddr", spec.host_maddrs),
        ("--announce-maddr", spec.announce_maddrs),
    ):
        for value in values:
            arguments += [option, value]
    for text in spec.petals_options:
        if text.partition("=")[0] not in _SAID_BY_ADDRESSES:
            arguments += ["--petals-option", text]
    return arguments


def supervision_arguments(spec: ServerSpec) -> list[str]:
    """The options of `supervise_server.py` that say when the server runs."""
    arguments = []
    if spec.restart_on_crash:
        arguments.append("--restart")
    if spec.hours:
        arguments += ["--hours", spec.hours]
    if spec.mains_only:
        arguments.append("--mains-only")
    if spec.pause_when_busy is not None:
        arguments += ["--pause-above", str(spec.pause_when_busy)]
    return arguments
