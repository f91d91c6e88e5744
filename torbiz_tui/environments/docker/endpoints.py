"""Where an engine may answer, in the order in which it is tried."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torbiz_tui.config import DockerConfig
from torbiz_tui.errors import BlockedError

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
    """An engine's address and where it was found, in words: `DOCKER_HOST`, `context colima`.

    `chosen` tells an address that the person set from one that the app looks at by itself.
    """

    address: str
    source: str
    tls: TlsFiles | None = None
    chosen: bool = False

    @property
    def socket(self) -> Path | None:
        """The socket's path; None for an engine that is reached otherwise."""
        path = self.address.removeprefix("unix://")
        return Path("/" + path.lstrip("/")) if path != self.address else None

    @property
    def local(self) -> bool:
        """Whether the engine is on this machine (or in a virtual machine of it)."""
        host = self.address.partition("://")[2].rpartition("@")[2]
        return not self.address.startswith(("tcp:", "http", "ssh:")) or host.startswith(
            ("127.", "localhost", "[::1]")
        )


def endpoints(
    config: DockerConfig, environ: Mapping[str, str], home: Path, platform: str = sys.platform
) -> list[Endpoint]:
    """The addresses to try, the first that answers is used; a chosen one is the only one.

    The order is that of the docker command: configuration, DOCKER_HOST, DOCKER_CONTEXT, the
    current context; then the sockets of the engines that are known for this platform. Raises
    BlockedError (code `docker_context`) for a context that is not there or cannot be read: another
    engine in its place would be a surprise.
    """
    folder = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    if config.host:
        return [Endpoint(config.host, "docker.host", _environ_tls(config.host, environ), True)]
    if host := environ.get("DOCKER_HOST", ""):
        return [Endpoint(host, "DOCKER_HOST", _environ_tls(host, environ), True)]
    if name := environ.get("DOCKER_CONTEXT", ""):
        chosen = f"DOCKER_CONTEXT names the context {name}"
    else:
        name = _current_context(folder)
        chosen = f"{folder / 'config.json'} names the context {name}"
    if name and name != "default":
        return [_context(folder, name, chosen)]
    return _sockets(environ, home, platform)


def current_endpoints(config: DockerConfig) -> list[Endpoint]:
    """The addresses to try with this process's environment. Raises as `endpoints` does."""
    return endpoints(config, os.environ, Path.home())


def _environ_tls(host: str, environ: Mapping[str, str]) -> TlsFiles | None:
    verify, folder = environ.get("DOCKER_TLS_VERIFY", ""), environ.get("DOCKER_CERT_PATH", "")
    if not (verify or folder) or not host.startswith(("tcp:", "http")):
        return None
    place = Path(folder or Path(environ.get("DOCKER_CONFIG") or Path.home() / ".docker"))
    return _tls_files(place, verify=bool(verify))


def _tls_files(folder: Path, *, verify: bool) -> TlsFiles:
    def file(name: str) -> str:
        return str(folder / name) if (folder / name).is_file() else ""

    return TlsFiles(file("ca.pem"), file("cert.pem"), file("key.pem"), verify)


def _current_context(folder: Path) -> str:
    file = folder / "config.json"
    try:
        settings = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise BlockedError(
            f"Docker's own settings in {file} cannot be read.",
            why=_reason(error),
            remedy="Mend or remove the file, or set docker.host, then try again.",
            code="docker_context",
        ) from error
    name = settings.get("currentContext", "") if isinstance(settings, dict) else ""
    return name if isinstance(name, str) else ""


def _context(folder: Path, name: str, chosen: str) -> Endpoint:
    digest = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts" / "meta" / digest / "meta.json"
    remedy = (
        "See `docker context ls`; choose another with `docker context use default`, or set"
        " docker.host."
    )
    try:
        meta: Any = json.loads(file.read_text("utf-8"))
        docker = meta["Endpoints"]["docker"]
        host, skip = docker.get("Host") or DEFAULT_SOCKET, bool(docker.get("SkipTLSVerify"))
    except FileNotFoundError as error:
        raise BlockedError(
            f"The Docker context {name} does not exist.",
            why=f"{chosen}, and there is no {file}.",
            remedy=remedy,
            code="docker_context",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BlockedError(
            f"The Docker context {name} cannot be read.",
            why=f"{chosen}; {file}: {_reason(error)}",
            remedy=remedy,
            code="docker_context",
        ) from error
    tls_folder = folder / "contexts" / "tls" / digest / "docker"
    tls = _tls_files(tls_folder, verify=not skip) if tls_folder.is_dir() else None
    return Endpoint(str(host), f"context {name}", tls, True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror}."
    if isinstance(error, ValueError):
        return f"It is not JSON: {error}."
    return "It names no Docker engine."


def _sockets(environ: Mapping[str, str], home: Path, platform: str) -> list[Endpoint]:
    found = [
        (Path("/var/run/docker.sock"), "the usual socket"),
        (home / ".docker/run/docker.sock", "Docker Desktop"),
        (home / ".docker/desktop/docker.sock", "Docker Desktop"),
        *_colima(environ, home),
        (home / ".orbstack/run/docker.sock", "OrbStack"),
        (home / ".rd/docker.sock", "Rancher Desktop"),
    ]
    if platform == "darwin":
        machines = home / ".local/share/containers/podman/machine"
        found += [(machines / "podman.sock", "Podman")]
    else:
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        if runtime:
            found += [
                (Path(runtime) / "docker.sock", "rootless Docker"),
                (Path(runtime) / "podman/podman.sock", "rootless Podman"),
            ]
        found += [(Path("/run/podman/podman.sock"), "Podman")]
    return [Endpoint(f"unix://{path}", source) for path, source in found]


def _colima(environ: Mapping[str, str], home: Path) -> list[tuple[Path, str]]:
    folder = Path(environ.get("COLIMA_HOME") or home / ".colima")
    profiles = sorted(
        entry.parent.name for entry in folder.glob("*/docker.sock") if entry.parent.name[0] != "_"
    )
    others = [name for name in profiles if name != "default"]
    return [(folder / "default/docker.sock", "Colima")] + [
        (folder / name / "docker.sock", f"Colima profile {name}") for name in others
    ]
