"""Where packages come from: what a person has configured for pip, said to uv.

uv reads its own configuration (`UV_…`, uv.toml) by itself, but nothing of pip's. People behind a
company index or on a filtered network have usually configured pip: its files, in the order in
which pip reads them (https://pip.pypa.io/en/stable/topics/configuration/), then `PIP_…`.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torbiz_tui.config import PetalsConfig

_SECTIONS = ("global", "install")
_KEYS = ("index-url", "extra-index-url", "find-links", "cert", "proxy", "trusted-host", "no-index")


@dataclass(frozen=True)
class PackageSources:
    """Options and environment variables for uv that mean what the person has configured."""

    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    find_links: tuple[str, ...]


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """pip's own settings, the later file winning over the earlier, `PIP_…` over all."""
    settings: dict[str, str] = {}
    for file in _pip_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            # pip itself refuses such a file with a message of its own; here it has no say.
            continue
        for section in _SECTIONS:
            if parser.has_section(section):
                settings.update(
                    {key.replace("_", "-"): value for key, value in parser.items(section)}
                )
    for key in _KEYS:
        value = environ.get("PIP_" + key.upper().replace("-", "_"))
        if value is not None:
            settings[key] = value
    return {key: value for key, value in settings.items() if key in _KEYS and value.strip()}


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    home = Path(environ.get("HOME", "~")).expanduser()
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    config_dirs = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
    files = [Path(folder) / "pip" / "pip.conf" for folder in config_dirs]
    files.append(Path("/etc/pip.conf"))
    if sys.platform == "darwin":
        files.insert(0, Path("/Library/Application Support/pip/pip.conf"))
        support = home / "Library/Application Support/pip/pip.conf"
        files.append(home / ".pip/pip.conf")
        files.append(support if support.parent.is_dir() else config_home / "pip/pip.conf")
    else:
        files += [home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    if own:
        files.append(Path(own).expanduser())
    return files


def package_sources(config: PetalsConfig, environ: Mapping[str, str]) -> PackageSources:
    """uv's options: the program's configuration first, then uv's own variables, then pip's.

    With several indexes pip takes the best version of all of them, uv the first index that has
    the package; `--index-strategy unsafe-best-match` makes uv do as pip does when the indexes come
    from pip's settings.
    """
    pip = pip_settings(environ)
    arguments: list[str] = []
    extra_environ: dict[str, str] = {}

    index = config.index_url or ("" if _uv_has(environ, "INDEX") else pip.get("index-url", ""))
    if index:
        arguments += ["--default-index", index]
    extras = list(config.extra_index_urls)
    if not extras and not _uv_has(environ, "INDEX"):
        extras = pip.get("extra-index-url", "").split()
    for extra in extras:
        arguments += ["--index", extra]
    if extras:
        arguments += ["--index-strategy", "unsafe-best-match"]
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        arguments.append("--no-index")

    links = list(config.find_links) or pip.get("find-links", "").split()
    for link in links:
        arguments += ["--find-links", link]
    for host in pip.get("trusted-host", "").split():
        arguments += ["--allow-insecure-host", host]

    certificate = config.certificate or ("" if "SSL_CERT_FILE" in environ else pip.get("cert", ""))
    if certificate:
        extra_environ["SSL_CERT_FILE"] = certificate
    proxy = pip.get("proxy", "")
    if proxy and not any(
        name in environ for name in ("ALL_PROXY", "HTTPS_PROXY", "https_proxy", "all_proxy")
    ):
        extra_environ["ALL_PROXY"] = proxy
    return PackageSources(tuple(arguments), extra_environ, tuple(links))


def _uv_has(environ: Mapping[str, str], what: str) -> bool:
    return any(name in environ for name in (f"UV_{what}", f"UV_DEFAULT_{what}", f"UV_{what}_URL"))
