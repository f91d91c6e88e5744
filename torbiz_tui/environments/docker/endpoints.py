"""Where an engine may answer, in the order in which it is tried."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from torbiz_tui.config import DockerConfig

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class TlsFiles:
    """What a TLS connection to an engine needs: files, empty where there is none.

    `verify` says whether the engine's own certificate is checked.
    """

    authority: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True)
class Endpoint:
    """An engine's address and where it was found, in words: `DOCKER_HOST`, `context colima`."""

    address: str
    source: str
    tls: TlsFiles | None = None


def endpoints(config: DockerConfig, environ: Mapping[str, str]) -> list[Endpoint]:
    """The addresses to try, the first that answers is used; a chosen one is the only one."""
    if config.host:
        return [Endpoint(config.host, "docker.host")]
    if host := environ.get("DOCKER_HOST", ""):
        return [Endpoint(host, "DOCKER_HOST")]
    return [Endpoint(DEFAULT_SOCKET, "the usual socket")]


def current_endpoints(config: DockerConfig) -> list[Endpoint]:
    """The addresses to try with this process's environment."""
    return endpoints(config, os.environ)
