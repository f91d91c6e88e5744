"""Where the image's build takes packages from, said so that no secret stays in the engine.

The engine's history shows the arguments of a build, for each image and for each stage. Only the
arguments for proxies that every engine knows are kept out of it, and an address of a package index
often holds a password. So all that names a source travels in one of those, FTP_PROXY, which
nothing in the build would use: install.sh unpacks it again.
"""

from __future__ import annotations

import base64
import netrc
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from torbiz_tui.config import Config
from torbiz_tui.environments.docker.wheelhouse import local_path
from torbiz_tui.environments.package_sources import package_sources, pip_settings
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths, bundled

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# uv's own variables; what names a folder of this machine is taken apart.
_UV_PLACES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")
_UV_SETTINGS = ("UV_INDEX_STRATEGY", "UV_INSECURE_HOST")


@dataclass(frozen=True)
class BuildSources:
    """The build's arguments, and what goes into its context.

    `arguments` are secret as a whole; `folders` and `indexes` hold packages on this machine;
    `loopback` names an address that only this machine itself reaches, empty when there is none.
    """

    arguments: Mapping[str, str]
    folders: tuple[Path, ...]
    indexes: tuple[Path, ...]
    certificate: Path | None
    loopback: str = ""


def build_sources(paths: Paths, config: Config, environ: Mapping[str, str]) -> BuildSources:
    """What is configured for this program, else for uv, else for pip.

    Raises TorbizError when a file or folder that is named does not exist.
    """
    places = _Places(netrc_of(environ))
    variables: dict[str, str] = {}
    sources = package_sources(config.petals, environ)
    given = _by_option(sources.arguments)
    variables["INDEX_URL"] = places.remote_indexes(given.get("--default-index", []))
    variables["EXTRA_INDEX_URLS"] = places.remote_indexes(given.get("--index", []))
    variables["FIND_LINKS"] = places.remote_links(given.get("--find-links", []))
    variables["INSECURE_HOSTS"] = " ".join(given.get("--allow-insecure-host", []))
    # pip's no-index is no reason against the network here when only folders of this machine are
    # left: they go along, and whatever they lack is missing then.
    variables["NO_INDEX"] = "1" if "--no-index" in sources.arguments else ""
    exported = _uv_variables(environ, places)

    arguments = _proxies(environ, sources.environ, pip_settings(environ).get("proxy", ""))
    text = [f"{name}={shlex.quote(value)}" for name, value in variables.items() if value]
    text += [f"export {name}={shlex.quote(value)}" for name, value in exported.items() if value]
    if text:
        packed = base64.b64encode("\n".join(text).encode()).decode("ascii")
        arguments["FTP_PROXY"] = f"torbiz:{packed}"
    named = [*variables.values(), *exported.values(), *_proxy_values(arguments)]
    return BuildSources(
        arguments=arguments,
        folders=(*_wheelhouses(paths, config), *places.folders),
        indexes=tuple(places.indexes),
        certificate=_certificate(sources.environ, environ),
        loopback=_loopback(named),
    )


class _Places:
    """Sorts addresses into those of the network and those of this machine."""

    def __init__(self, logins: netrc.netrc | None) -> None:
        self.folders: list[Path] = []
        self.indexes: list[Path] = []
        self._logins = logins

    def remote_indexes(self, addresses: Iterable[str]) -> str:
        return self._remote(addresses, self.indexes)

    def remote_links(self, addresses: Iterable[str]) -> str:
        return self._remote(addresses, self.folders)

    def _remote(self, addresses: Iterable[str], here: list[Path]) -> str:
        remote = []
        for address in addresses:
            name, equals, place = address.partition("=")
            named = bool(equals) and "/" not in name
            path = local_path(place if named else address)
            if path is None:
                login = self._with_login(place if named else address)
                remote.append(f"{name}={login}" if named else login)
            elif path not in here:
                here.append(path)
        return " ".join(remote)

    def _with_login(self, address: str) -> str:
        """The address with the name and password that the person's netrc has for its host."""
        parts = urlsplit(address)
        found = self._logins.hosts.get(parts.hostname or "") if self._logins else None
        if found is None or parts.username:
            return address
        login = f"{quote(found[0], safe='')}:{quote(found[2] or '', safe='')}@"
        return urlunsplit(parts._replace(netloc=login + parts.netloc))


def netrc_of(environ: Mapping[str, str]) -> netrc.netrc | None:
    """The person's netrc; None when there is none that can be read."""
    home = Path(environ.get("HOME", "~")).expanduser()
    try:
        return netrc.netrc(environ.get("NETRC") or str(home / ".netrc"))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return None


def _by_option(arguments: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for option, value in pairwise(arguments):
        if option.startswith("--") and not value.startswith("--"):
            found.setdefault(option, []).append(value)
    return found


def _uv_variables(environ: Mapping[str, str], places: _Places) -> dict[str, str]:
    found = {name: environ[name] for name in _UV_SETTINGS if name in environ}
    found |= {
        name: value
        for name, value in environ.items()
        if name.startswith("UV_INDEX_") and name.endswith(("_USERNAME", "_PASSWORD"))
    }
    for name in _UV_PLACES:
        links = name == "UV_FIND_LINKS"
        values = environ.get(name, "").replace(",", " " if links else ",").split()
        remote = places.remote_links(values) if links else places.remote_indexes(values)
        if remote:
            found[name] = remote.replace(" ", ",") if links else remote
    return found


def _proxies(
    environ: Mapping[str, str], from_pip: Mapping[str, str], pip_proxy: str
) -> dict[str, str]:
    """The proxies, in the spelling that every engine keeps out of its history."""

    def value(name: str) -> str:
        return environ.get(name) or environ.get(name.lower()) or ""

    everything = value("ALL_PROXY") or from_pip.get("ALL_PROXY") or pip_proxy
    found = {
        "HTTP_PROXY": value("HTTP_PROXY") or everything,
        "HTTPS_PROXY": value("HTTPS_PROXY") or everything,
        "NO_PROXY": value("NO_PROXY"),
    }
    found = {name: proxy for name, proxy in found.items() if proxy}
    # Some programs read only the one, some only the other.
    return found | {name.lower(): proxy for name, proxy in found.items()}


def _proxy_values(arguments: Mapping[str, str]) -> list[str]:
    return [value for name, value in arguments.items() if name in ("HTTP_PROXY", "HTTPS_PROXY")]


def _wheelhouses(paths: Paths, config: Config) -> list[Path]:
    own = bundled() / "images" / "petals" / "wheelhouse"
    if config.docker.wheelhouse:
        return [Path(config.docker.wheelhouse).expanduser(), own]
    usual = paths.home / "wheelhouse"
    return [folder for folder in (usual, own) if folder.is_dir()]


def _certificate(from_pip: Mapping[str, str], environ: Mapping[str, str]) -> Path | None:
    named = from_pip.get("SSL_CERT_FILE") or environ.get("SSL_CERT_FILE") or ""
    if not named:
        return None
    file = Path(named).expanduser()
    if not file.is_file():
        raise TorbizError(
            f"The file of certificates {file} does not exist.",
            remedy="Correct petals.certificate, SSL_CERT_FILE, or pip's cert.",
            code="no_certificate_file",
        )
    return file


def _loopback(values: Iterable[str]) -> str:
    for value in values:
        for word in value.replace(",", " ").split():
            address = word.partition("=")[2] if word.partition("=")[2].count("://") else word
            host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
            if host in _LOOPBACK:
                return host
    return ""
