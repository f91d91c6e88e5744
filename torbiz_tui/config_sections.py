"""The sections of the configuration, with each key declared once, where it stands in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torbiz_tui.config_forms import (
    is_adapter_name,
    is_container_name,
    is_dht_prefix,
    is_engine_address,
    is_host,
    is_peer_address,
    is_revision,
    is_swarm_name,
)
from torbiz_tui.config_values import (
    Choice,
    Flag,
    Number,
    Size,
    Text,
    TextList,
    TextMap,
    Whole,
    declared,
    facts_of_key,
)

_PEER = Text(
    "a peer's address such as /ip4/192.0.2.7/tcp/31337/p2p/QmPeerIdentity", is_peer_address
)
_STOP = Text("a text of 1 to 200 characters", lambda text: 0 < len(text) <= 200)
_DAY_S = 86_400


@dataclass(frozen=True)
class SwarmConfig:
    """The swarm that is joined for hosting and for asking."""

    initial_peers: tuple[str, ...] = declared(
        (),
        TextList(_PEER),
        "Addresses of peers of a private swarm; empty means the public swarm.",
        "--initial-peer",
    )
    new_swarm: bool = declared(
        False,
        Flag(),
        "Start a private swarm of your own instead of joining one. Excludes initial_peers.",
        "--new-swarm",
    )
    name: str = declared(
        "",
        Text("1 to 40 letters, digits, and _ . - between them, or empty", is_swarm_name),
        "Name by which a private swarm is remembered (`torbiz-tui swarms`); empty takes the model's.",
    )
    dht_prefix: str = declared(
        "",
        Text("a name without dots and blanks, or empty", is_dht_prefix),
        "What the swarm calls the blocks of `model`, where that is not derived from its name.",
    )


@dataclass(frozen=True)
class AskConfig:
    """How questions are answered."""

    system_prompt: str = declared(
        "",
        Text(fits=lambda _text: True),
        "What the model is told before every conversation.",
        "--system",
    )
    max_new_tokens: int = declared(
        512, Whole(1, 100_000), "Tokens after which an answer ends.", "--max-tokens"
    )
    temperature: float = declared(
        0.0, Number(0, 10), "0 always takes the likeliest token; higher is freer.", "--temperature"
    )
    top_p: float = declared(
        1.0,
        Number(0, 1, above=True),
        "Choose among the likeliest tokens that have this probability together.",
        "--top-p",
    )
    seed: int | None = declared(
        None,
        Whole(0, 2**63 - 1, optional=True),
        "Makes answers with a temperature repeatable; null gives another one each time.",
        "--seed",
    )
    stop: tuple[str, ...] = declared(
        (),
        TextList(_STOP, most=16),
        "An answer ends before the first of these texts.",
        "--stop",
    )
    local: bool = declared(
        False,
        Flag(),
        "Load the model into this machine's memory and ask no swarm.",
        "--local",
    )
    revision: str = declared(
        "",
        Text("a branch, a tag or a commit, or empty", is_revision),
        "What of `model` at the hub its servers serve; empty takes what this machine serves of it,"
        " else main.",
        "--revision",
    )
    adapter: str = declared(
        "",
        Text(
            "the name that servers host it by, without dots and blanks, or empty",
            lambda text: not text or is_adapter_name(text),
        ),
        "LoRA adapter of `model` that its servers are to use; empty asks without one.",
        "--adapter",
    )
    session_tokens: int = declared(
        2048,
        Whole(16, 1_000_000),
        "Tokens of a conversation that the servers keep; beyond it the oldest turns are left out.",
    )
    keep_warm_s: float = declared(
        300.0,
        Number(0, _DAY_S),
        "Seconds that the chat runner stays after the last program has left it; 0 ends it at once.",
    )
    start_timeout_s: float = declared(
        120.0, Number(0, _DAY_S, above=True), "Seconds that the chat runner has to become ready."
    )
    idle_timeout_s: float = declared(
        60.0, Number(0, _DAY_S, above=True), "Seconds to wait for the next word of an answer."
    )


@dataclass(frozen=True)
class ApiConfig:
    """The endpoint for other programs."""

    host: str = declared(
        "127.0.0.1",
        Text("a host name or an IP address", is_host),
        "Where the endpoint for other programs listens; elsewhere than on loopback it needs a key.",
        "--host",
    )
    port: int = declared(
        8790,
        Whole(0, 65_535),
        "TCP port of the endpoint for other programs; 0 takes a free one.",
        "--port",
    )


@dataclass(frozen=True)
class PetalsConfig:
    """How Petals is installed. Settings of pip and uv are honoured where a key is empty."""

    python: str = declared(
        "", Text(), "Python to build the managed venv with: a path or a name; empty searches one."
    )
    channel: str = declared(
        "release",
        Choice("release", "main"),
        "Which Petals: the release, or the main branch, which serves Llama 3.1 and Mixtral too and"
        " needs github.com, and git where it is not in a container.",
    )
    torch: str = declared(
        "auto",
        Choice("auto", "cpu", "cuda"),
        "Build of PyTorch; auto takes cuda only where there is an NVIDIA GPU.",
    )
    index_url: str = declared("", Text(), "Package index to use instead of PyPI.")
    extra_index_urls: tuple[str, ...] = declared((), TextList(Text()), "Further package indexes.")
    find_links: tuple[str, ...] = declared(
        (), TextList(Text()), "Folders or pages with packages, searched first."
    )
    certificate: str = declared("", Text(), "File with the certificates to trust (PEM).")
    install_timeout_s: float = declared(
        1800.0, Number(0, _DAY_S, above=True), "Seconds after which an installation is given up."
    )


@dataclass(frozen=True)
class DockerConfig:
    """The container that hosts, and the image that it is made from."""

    host: str = declared(
        "",
        Text(
            "an engine's address such as unix:///run/docker.sock, tcp://… or ssh://…",
            is_engine_address,
        ),
        "Engine to use; empty takes DOCKER_HOST, the current context, or the first that answers.",
    )
    image: str = declared(
        "torbiz-petals-macos:latest", Text(), "Tag of the image that Setup builds."
    )
    container: str = declared(
        "torbiz-petals-seeder",
        Text("letters, digits and any of _.- after the first", is_container_name),
        "Name of the container that hosts.",
    )
    network: str = declared(
        "auto",
        Choice("auto", "host", "published"),
        "host shares the machine's network; published forwards the one port; auto takes host where"
        " the engine has it.",
    )
    memory: int | None = declared(
        None,
        Size(2**28, optional=True),
        "Memory that the container may use; null sets no limit.",
    )
    cpus: float | None = declared(
        None,
        Number(0, 1024, above=True, optional=True),
        "Processors that the container may use; null sets no limit.",
    )
    shared_memory: int = declared(
        2**30,
        Size(2**26),
        "Shared memory of the container, which Petals' processes exchange data in.",
    )
    gpus: str = declared(
        "auto",
        Choice("auto", "none", "all"),
        "NVIDIA GPUs for the container; auto gives them where the engine has NVIDIA's toolkit.",
    )
    model_cache: str = declared(
        "~/.cache/huggingface",
        Text(),
        "Folder with downloaded models that the container shares with this machine.",
    )
    base_image: str = declared(
        "python:3.11-slim", Text(), "Image to build on; it needs Python 3.11 and its venv module."
    )
    platform: str = declared(
        "", Text(), "Platform to build for, such as linux/arm64; empty takes the engine's own."
    )
    wheelhouse: str = declared(
        "",
        Text(),
        "Folder with wheels that the build takes first; empty takes ~/.torbiz/wheelhouse.",
    )
    build_network: str = declared(
        "", Text(), "Network of the build, such as host; empty takes the engine's default."
    )
    build_timeout_s: float = declared(
        3600.0, Number(0, _DAY_S, above=True), "Seconds after which a build is given up."
    )


@dataclass(frozen=True)
class LogsConfig:
    """What is logged, and how much of it is shown."""

    level: str = declared(
        "info", Choice("debug", "info", "warning", "error"), "Least level that goes into app.log."
    )
    tail_lines: int = declared(1000, Whole(1, 1_000_000), "Lines of a log that are shown at first.")


@dataclass(frozen=True)
class InterfaceConfig:
    """How the full-screen app looks, and its keys."""

    theme: str = declared("textual-dark", Text(), "Colours; the command palette lists the themes.")
    keys: Mapping[str, str] = field(
        default_factory=dict,
        metadata=facts_of_key(
            TextMap("a mapping of a key's name to keys, such as {go.ask: f5}"),
            "Other keys for the app's actions, by the names that docs/keys.md lists.",
        ),
    )
