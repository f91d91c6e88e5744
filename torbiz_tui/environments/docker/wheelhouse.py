"""Which of the packages that lie on this machine go into the image's build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from torbiz_tui.errors import TorbizError

_MACHINES = {"amd64": ("x86_64",), "arm64": ("aarch64",)}
_PYTHON_MINOR = 11
_HREF = re.compile(r"""href\s*=\s*["']([^"'#]+)""", re.IGNORECASE)
# What torch's CUDA build brings beside the pins.
_CUDA_PREFIXES = ("nvidia-", "cuda-", "triton")


@dataclass(frozen=True)
class Wanted:
    """What a build takes from a folder: pinned names with their versions, for one platform.

    `platform` is such as `linux/amd64`, `torch` is `cpu` or `cuda`.
    """

    pins: Mapping[str, frozenset[str]]
    platform: str
    torch: str

    def takes(self, file_name: str) -> bool:
        """Whether this wheel or source archive is of use."""
        if file_name.endswith(".tar.gz"):
            name, _, version = file_name.removesuffix(".tar.gz").rpartition("-")
            return version in self.pins.get(normal(name), frozenset())
        parts = file_name.removesuffix(".whl").split("-")
        if not file_name.endswith(".whl") or len(parts) not in (5, 6):
            return False
        name, version = normal(parts[0]), parts[1]
        if not self._runs(*parts[-3:]):
            return False
        if name not in self.pins:
            return self.torch == "cuda" and name.startswith(_CUDA_PREFIXES)
        public, _, local = version.partition("+")
        if name == "torch" and (local == "cpu") != (self.torch == "cpu"):
            return False
        return public in self.pins[name]

    def _runs(self, python: str, abi: str, platform: str) -> bool:
        machines = _MACHINES.get(self.platform.split("/")[1], ())
        fits_platform = any(
            tag == "any"
            or (tag.startswith(("manylinux", "linux_")) and tag.endswith(machines or ("none",)))
            for tag in platform.split(".")
        )
        return fits_platform and any(_fits_python(tag, abi) for tag in python.split("."))


def _fits_python(tag: str, abi: str) -> bool:
    if tag == "py3":
        return True
    match = re.fullmatch(r"(cp|py)3(\d+)", tag)
    if match is None:
        return False
    minor = int(match[2])
    if match[1] == "py" or "abi3" in abi.split("."):
        return minor <= _PYTHON_MINOR
    return minor == _PYTHON_MINOR


def normal(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(requirements: str, extra: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The versions by name that the requirements allow on any platform, and those of `extra`."""
    found: dict[str, set[str]] = {name: {version} for name, version in extra.items()}
    for line in requirements.splitlines():
        name, equals, version = line.partition("#")[0].partition(";")[0].strip().partition("==")
        if equals:
            found.setdefault(normal(name), set()).add(version.strip())
    return {name: frozenset(versions) for name, versions in found.items()}


def local_packages(
    folders: Iterable[Path], indexes: Iterable[Path], wanted: Wanted
) -> dict[str, Path]:
    """The files to take, by name: of each name the first that is found.

    `folders` hold packages, `indexes` are the roots of package indexes that lie on this machine.
    Raises TorbizError when a folder cannot be read.
    """
    found: dict[str, Path] = {}
    for file in (*_in_folders(folders), *_in_indexes(indexes, wanted.pins)):
        if wanted.takes(file.name):
            found.setdefault(file.name, file)
    return found


def _in_folders(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            yield from sorted(entry for entry in folder.iterdir() if entry.is_file())
        except OSError as error:
            raise TorbizError(
                f"The folder with packages {folder} cannot be read.",
                why=f"{error.strerror}.",
                remedy="Correct docker.wheelhouse, petals.find_links or pip's find-links.",
                code="wheelhouse_unreadable",
            ) from error


def _in_indexes(indexes: Iterable[Path], names: Iterable[str]) -> Iterator[Path]:
    for index in indexes:
        for name in sorted(names):
            page = index / name / "index.html"
            try:
                links = _HREF.findall(page.read_text("utf-8", errors="replace"))
            except OSError:
                continue
            for link in links:
                file = local_path(urljoin(page.as_uri(), link))
                if file is not None and file.is_file():
                    yield file


def local_path(place: str) -> Path | None:
    """The folder that a path or a file:// address names; None for an address of the network."""
    if place.startswith("file:"):
        return Path(unquote(urlsplit(place).path))
    return None if "://" in place else Path(place).expanduser()


def describe(files: Mapping[str, Path], sizes: Sequence[int]) -> str:
    """What goes along, in words."""
    if not files:
        return "No package of this machine goes along."
    return f"{len(files)} packages of this machine go along ({sum(sizes) / 1e6:.0f} MB)."
