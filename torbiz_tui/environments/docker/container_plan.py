"""Which container hosts a spec: from the configuration, the engine's facts and this machine."""

from __future__ import annotations

import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import replace as changed
from pathlib import Path

from torbiz_tui import __version__
from torbiz_tui.config import Config
from torbiz_tui.environments.base import ServerSpec
from torbiz_tui.environments.docker.container import (
    BLOCK_CACHE,
    CERTIFICATES,
    HUB_CACHE,
    LOG_NAME,
    LOGS,
    MODEL,
    RUN,
    SCRIPTS,
    SECRETS,
    ContainerPlan,
    Mount,
)
from torbiz_tui.environments.docker.facts import DOCKER_DESKTOP, EngineFacts
from torbiz_tui.environments.docker.image import LABEL_ROLE, LABEL_SPEC, LABEL_VERSION
from torbiz_tui.environments.docker.records import LABEL_HOME, ROLE_SEEDER, SEEDER
from torbiz_tui.environments.docker.secrets_files import HUB_TOKEN, NODE_TOKEN
from torbiz_tui.environments.docker.time_zone import posix_zone
from torbiz_tui.environments.seeder_command import seeder_arguments, supervision_arguments
from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths, runner_scripts

_LOOPBACK = ("/ip4/127.", "/ip6/::1/")
_PASSED_ON = ("HF_ENDPOINT", "HF_HUB_OFFLINE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
# In front of the seeder, as on a machine without a container: one code restarts and pauses it.
_SUPERVISOR = "supervise_server.py"
_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def plan_container(
    spec: ServerSpec,
    config: Config,
    facts: EngineFacts,
    paths: Paths,
    tokens: Mapping[str, Path],
    environ: Mapping[str, str] = os.environ,
) -> ContainerPlan:
    """Describe the container for a spec; touches nothing.

    `tokens` are the files of `secrets_files`. Raises TorbizError for what this engine cannot give:
    GPUs (code `docker_no_gpu_toolkit`), Metal, this machine's folders, its loopback.
    """
    docker = config.docker
    require_local(facts)
    published = docker.network == "published" or (
        docker.network == "auto" and not facts.host_network
    )
    source, model_mounts = _model(spec, paths_cache := model_cache(config))
    inside = _published(spec) if published else spec
    mounts = [
        Mount(runner_scripts(), SCRIPTS, read_only=True),
        Mount(paths_cache, HUB_CACHE),
        Mount(paths.logs, LOGS),
        Mount(identity_folder(paths), RUN),
        *model_mounts,
        *(Mount(file, f"{SECRETS}/{name}", read_only=True) for name, file in tokens.items()),
    ]
    environment = _environment(environ)
    if certificate := _certificate(config, environ):
        mounts.append(Mount(certificate, CERTIFICATES, read_only=True))
        environment |= {"SSL_CERT_FILE": CERTIFICATES, "REQUESTS_CA_BUNDLE": CERTIFICATES}
    log = f"{LOGS}/{LOG_NAME}"
    command = [
        *("python3", f"{SCRIPTS}/{_SUPERVISOR}", *supervision_arguments(spec)),
        *("--tell", log, "--"),
        "python3",
        f"{SCRIPTS}/{SEEDER}",
        *seeder_arguments(
            inside, source=source, identity=f"{RUN}/{_file_name(spec.model)}", cache=BLOCK_CACHE
        ),
        *("--log-file", log),
    ]
    if NODE_TOKEN in tokens:
        command += ["--node-token-file", f"{SECRETS}/{NODE_TOKEN}"]
    if HUB_TOKEN in tokens:
        environment["HF_TOKEN_PATH"] = f"{SECRETS}/{HUB_TOKEN}"
    return ContainerPlan(
        name=docker.container,
        image=docker.image,
        command=tuple(command),
        mounts=tuple(mounts),
        network="published" if published else "host",
        port=spec.port,
        port_address="127.0.0.1" if published and _on_loopback(spec) else "",
        environment=environment,
        labels={
            LABEL_VERSION: __version__,
            LABEL_ROLE: ROLE_SEEDER,
            LABEL_HOME: str(paths.home),
            LABEL_SPEC: json.dumps(spec.to_json(), separators=(",", ":")),
        },
        user=_user(facts),
        shared_memory=docker.shared_memory,
        memory=docker.memory,
        cpus=docker.cpus,
        stop_timeout=math.ceil(config.share.stop_grace_s),
        gpus=_gpus(spec, config, facts),
        bounded_log=not facts.podman,
    )


def require_local(facts: EngineFacts) -> None:
    """Raises TorbizError for an engine on another machine, which sees none of our folders."""
    if not facts.local:
        raise TorbizError(
            "This Docker runs on another machine.",
            why="It sees none of this machine's folders: scripts, models and logs.",
            remedy="Run torbiz-tui on that machine, or choose a local engine (docker.host).",
            code="docker_remote",
        )


def model_cache(config: Config) -> Path:
    """The folder with downloaded models that is mounted."""
    return Path(config.docker.model_cache).expanduser().absolute()


def identity_folder(paths: Paths) -> Path:
    """Where the container keeps its keys, so that its address stays the same."""
    return paths.run / "container"


def prepare_folders(paths: Paths, config: Config) -> None:
    """Create the folders that are mounted, so that they belong to the person and not to root.

    Raises TorbizError.
    """
    cache = model_cache(config)
    try:
        paths.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity_folder(paths).mkdir(mode=0o700, parents=True, exist_ok=True)
        (cache / "petals").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TorbizError(
            f"The folder {error.filename or cache} cannot be created.",
            why=f"{error.strerror or error}.",
            remedy="Make it writable, or choose another folder (docker.model_cache).",
            code="run_not_writable",
        ) from error


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    # The engine shows a container's variables to everybody who may ask it.
    passed |= {
        name: environ[name] for name in _PROXIES if environ.get(name) and "@" not in environ[name]
    }
    return {
        "HOME": "/root",
        # A user that the image has no name for.
        "USER": "petals",
        "HF_HOME": HUB_CACHE,
        "PETALS_CACHE": BLOCK_CACHE,
        "HIVEMIND_COLORS": "false",
        # Hours of the day are the person's, and so are the times in the log.
        "TZ": posix_zone(environ),
        **passed,
    }


def _certificate(config: Config, environ: Mapping[str, str]) -> Path | None:
    named = [config.petals.certificate, *(environ.get(name, "") for name in _CERTIFICATE_VARIABLES)]
    files = [Path(name).expanduser().absolute() for name in named if name]
    return next((file for file in files if file.is_file()), None)


def _model(spec: ServerSpec, cache: Path) -> tuple[str, list[Mount]]:
    """The model's name inside the container, and what has to be mounted for it."""
    folder = Path(spec.source)
    if not folder.is_absolute():
        return spec.source, []
    for mounted, inside in ((runner_scripts(), SCRIPTS), (cache, HUB_CACHE)):
        # In the hub's cache files are links to others of it, so it has to stay in its place.
        if folder.is_relative_to(mounted):
            return f"{inside}/{folder.relative_to(mounted)}", []
    return MODEL, [Mount(folder, MODEL, read_only=True)]


def _file_name(model: str) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in model)
    return f"{safe.strip('-.') or 'model'}.identity"


def _on_loopback(spec: ServerSpec) -> bool:
    return bool(spec.host_maddrs) and all("/127." in address for address in spec.host_maddrs)


def _published(spec: ServerSpec) -> ServerSpec:
    """The spec in a network of the container's own, where one port of this machine leads to."""
    reached = [peer for peer in spec.initial_peers if not peer.startswith(_LOOPBACK)]
    if spec.initial_peers and not reached:
        raise UsageError(
            "The container does not reach a peer on this machine's loopback.",
            why=f"{spec.initial_peers[0]} means the container itself in there (docker.network:"
            " published).",
            remedy="Give the peer's address in the local network, or share with docker.network:"
            " host.",
            code="docker_loopback_peer",
        )
    own = "127.0.0.1" if _on_loopback(spec) else _lan_address()
    announced = (*spec.announce_maddrs, f"/ip4/{own}/tcp/{spec.port}")
    return changed(
        spec,
        initial_peers=tuple(reached),
        known_peers=tuple(peer for peer in spec.known_peers if not peer.startswith(_LOOPBACK)),
        host_maddrs=(f"/ip4/0.0.0.0/tcp/{spec.port}",),
        announce_maddrs=tuple(dict.fromkeys(announced)),
    )


def _lan_address() -> str:
    """This machine's address in the network that leads outside; loopback without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: connecting a datagram socket only chooses the way.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _user(facts: EngineFacts) -> str:
    """Who the container's processes are, so that files on this machine belong to the person.

    In a rootless engine root inside is the person outside, and Docker Desktop maps every user to
    the person by itself.
    """
    if facts.rootless or facts.name == DOCKER_DESKTOP or os.geteuid() == 0:
        return ""
    return f"{os.getuid()}:{os.getgid()}"


def _gpus(spec: ServerSpec, config: Config, facts: EngineFacts) -> str:
    if spec.device == "mps":
        raise UsageError(
            "A container cannot use Apple's GPU.",
            why="Metal is not available in Linux containers.",
            remedy="Share with --device cpu.",
            code="docker_no_metal",
        )
    asked = spec.device.startswith("cuda") or config.docker.gpus == "all"
    if config.docker.gpus == "none" or spec.device == "cpu":
        if spec.device.startswith("cuda"):
            raise UsageError(
                f"The device {spec.device} needs a GPU, and docker.gpus is none.",
                remedy="Set docker.gpus to auto, or share with --device cpu.",
                code="docker_no_gpu_toolkit",
            )
        return ""
    if asked and not facts.nvidia:
        raise TorbizError(
            "Docker cannot give the GPU to a container.",
            why=f"{facts.sentence()} does not have NVIDIA's runtime.",
            remedy="Install the NVIDIA Container Toolkit and restart Docker, or share with"
            " --device cpu (and docker.gpus: none).",
            code="docker_no_gpu_toolkit",
        )
    if not facts.nvidia:
        return ""
    return "podman" if facts.podman else "docker"
