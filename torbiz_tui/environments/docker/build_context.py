"""The context of the image's build: its files as a stream, and a name for what it builds."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torbiz_tui.catalogue import RELEASE
from torbiz_tui.environments.stack_pins import pins_text
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import bundled

_CHUNK = 2**20
_BLOCK = tarfile.BLOCKSIZE
_PINS = "requirements.txt"
_PARTS = ("Dockerfile", "install.sh", _PINS)
# Base images have no git, and a commit of GitHub is an archive too.
_FROM_GIT = re.compile(r"git\+(https://github\.com/[^\s@]+)@([0-9a-f]{40})")


def image_folder() -> Path:
    """The folder that the image is built from."""
    return bundled() / "images" / "petals"


def inputs_digest(*, torch: str, base_image: str, platform: str, channel: str = RELEASE) -> str:
    """A name for what decides about the content of the image.

    Where packages come from (addresses, wheelhouse, certificates) is not part of it: the pins say
    what they are.
    """
    digest = hashlib.sha256()
    for part in _PARTS:
        text = requirements(channel) if part == _PINS else _text(part)
        digest.update(text.encode() + b"\0")
    for value in (torch, base_image, platform):
        digest.update(value.encode() + b"\0")
    return digest.hexdigest()[:16]


def uv_version() -> str:
    """The version of uv that the Dockerfile installs."""
    found = re.search(r"^ARG UV_VERSION=(\S+)$", _text("Dockerfile"), re.MULTILINE)
    assert found is not None
    return found[1]


def requirements(channel: str = RELEASE) -> str:
    """The pins of the stack, as text; those of Petals' main branch name an archive of a commit."""
    return _FROM_GIT.sub(r"\1/archive/\2.tar.gz", pins_text(channel))


def _text(part: str) -> str:
    return (image_folder() / part).read_text("utf-8")


@dataclass
class BuildContext:
    """The files of one build by their names in the context.

    The same files give the same bytes: owner, time and mode are not those of the disk. `sent`
    counts the bytes that have been read so far, for whoever shows the progress; `failure` is what
    went wrong with a file while it was read.
    """

    files: Mapping[str, Path]
    sent: int = 0
    failure: TorbizError | None = field(default=None)

    @classmethod
    def of(
        cls, packages: Mapping[str, Path], certificate: Path | None, pins: Path | None = None
    ) -> BuildContext:
        """The context with these packages, this file of certificates, and other pins if given."""
        folder = image_folder()
        files = {part: folder / part for part in _PARTS}
        for sub in ("certificates", "wheelhouse"):
            files[f"{sub}/README.md"] = folder / sub / "README.md"
        for file in (*folder.glob("certificates/*.pem"), *folder.glob("certificates/*.crt")):
            files[f"certificates/{file.name}"] = file
        if pins is not None:
            files[_PINS] = pins
        if certificate is not None:
            files["certificates/configured.pem"] = certificate
        files |= {f"wheelhouse/{name}": file for name, file in packages.items()}
        return cls(dict(sorted(files.items())))

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def stream(self) -> Iterator[bytes]:
        """The context as a tar archive, piece by piece; at most a mebibyte is in memory."""
        try:
            for name, file in self.files.items():
                for piece in _member(name, file):
                    self.sent += len(piece)
                    yield piece
        except OSError as error:
            self.failure = TorbizError(
                f"{error.filename or 'A file of the build'} cannot be read.",
                why=f"{error.strerror or error}.",
                code="context_unreadable",
            )
            raise
        yield bytes(2 * _BLOCK)


def _member(name: str, file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        entry = tarfile.TarInfo(name)
        entry.size = file.stat().st_size
        entry.mode = 0o755 if name.endswith(".sh") else 0o644
        yield entry.tobuf(tarfile.PAX_FORMAT)
        left = entry.size
        while left:
            piece = stream.read(min(_CHUNK, left))
            if not piece:
                raise OSError(None, "It became shorter while it was read", str(file))
            left -= len(piece)
            yield piece
        yield bytes(-entry.size % _BLOCK)
