"""Finding a Python that the Petals stack has wheels for."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# tokenizers 0.14.1 and torch 2.13.0 publish wheels for these; only 3.11 is run by the tests.
SUPPORTED = ((3, 11), (3, 12), (3, 10))
PROBE_TIMEOUT_S = 10.0
_PROBE = (
    "import json,platform,struct,sys;"
    "print(json.dumps([list(sys.version_info[:3]),platform.python_implementation(),"
    "struct.calcsize('P')*8,getattr(sys,'_base_executable',sys.executable) or sys.executable,"
    "sys.version]))"
)


@dataclass(frozen=True)
class PythonCandidate:
    """An interpreter that was looked at; `refusal` is empty when it fits."""

    path: Path
    version: tuple[int, int, int] | None
    refusal: str = ""

    @property
    def fits(self) -> bool:
        """Whether the stack can be installed for it."""
        return not self.refusal

    def line(self) -> str:
        """The candidate in one line: path, version, why it was refused."""
        version = "" if self.version is None else f" ({'.'.join(map(str, self.version))})"
        return f"{self.path}{version}: {self.refusal or 'fits'}"


@dataclass(frozen=True)
class PythonSearch:
    """What the search found: the one to use, and all that were looked at."""

    chosen: PythonCandidate | None
    candidates: tuple[PythonCandidate, ...]


def supported_versions() -> str:
    """The versions that fit, for sentences: `3.10, 3.11 or 3.12`."""
    names = [f"{major}.{minor}" for major, minor in sorted(SUPPORTED)]
    return f"{', '.join(names[:-1])} or {names[-1]}"


async def find_python(
    wanted: str = "", *, environ: Mapping[str, str] | None = None, own: str | None = None
) -> PythonSearch:
    """Look for a fitting Python; 3.11 is preferred, as it is the one that is tested.

    `wanted` (the configuration's `petals.python`) is a path or a command and the only candidate
    when it is given. `own` is the interpreter that runs this program.
    """
    environ = os.environ if environ is None else environ
    places = _places(wanted, environ, own or sys.executable)
    candidates = await asyncio.gather(*(_probe(place) for place in places))
    unique: dict[Path, PythonCandidate] = {}
    for candidate in candidates:
        unique.setdefault(candidate.path, candidate)
    fitting = sorted(
        (candidate for candidate in unique.values() if candidate.fits),
        key=lambda candidate: SUPPORTED.index(_minor(candidate)),
    )
    return PythonSearch(fitting[0] if fitting else None, tuple(unique.values()))


def _minor(candidate: PythonCandidate) -> tuple[int, int]:
    assert candidate.version is not None
    return candidate.version[:2]


def _places(wanted: str, environ: Mapping[str, str], own: str) -> list[Path]:
    path = environ.get("PATH", os.defpath)
    if wanted:
        found = shutil.which(Path(wanted).expanduser(), path=path)
        return [Path(found or wanted).expanduser()]
    places = [Path(own)]
    names = [f"python{major}.{minor}" for major, minor in SUPPORTED] + ["python3", "python"]
    for folder in path.split(os.pathsep):
        places += [Path(folder) / name for name in names if folder]
    home = Path(environ.get("HOME", "~")).expanduser()
    pyenv = Path(environ.get("PYENV_ROOT", home / ".pyenv"))
    uv = Path(environ.get("UV_PYTHON_INSTALL_DIR", home / ".local/share/uv/python"))
    for root in (pyenv / "versions", uv):
        places += sorted(root.glob("*3.1[0-2]*/bin/python3"))
    for prefix in ("/opt/homebrew", "/usr/local", "/usr"):
        places += [
            Path(f"{prefix}/opt/python@{major}.{minor}/bin/python{major}.{minor}")
            for major, minor in SUPPORTED
        ]
    seen: dict[Path, Path] = {}
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            seen.setdefault(place.resolve() if not _is_shim(place) else place, place)
    return list(seen.values())


def _is_shim(place: Path) -> bool:
    # Every pyenv shim is one and the same script, told apart by its name.
    return "shims" in place.parts


async def _probe(place: Path) -> PythonCandidate:
    try:
        process = await asyncio.create_subprocess_exec(
            place,
            "-I",
            "-c",
            _PROBE,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return PythonCandidate(place, None, f"cannot be started ({error.strerror})")
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PROBE_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return PythonCandidate(place, None, f"did not answer within {PROBE_TIMEOUT_S:.0f} s")
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip().splitlines()
        reason = f": {said[0][:120]}" if said else ""
        return PythonCandidate(place, None, f"does not run (exit {process.returncode}{reason})")
    try:
        version, implementation, bits, base, full = json.loads(output)
    except ValueError:
        return PythonCandidate(place, None, "does not answer like a Python")
    return _judge(Path(base), (version[0], version[1], version[2]), implementation, bits, full)


def _judge(
    path: Path, version: tuple[int, int, int], implementation: str, bits: int, full: str
) -> PythonCandidate:
    refusal = ""
    if implementation != "CPython":
        refusal = f"is {implementation}; the stack has wheels for CPython only"
    elif bits != 64:
        refusal = f"is a {bits}-bit build; the stack has 64-bit wheels only"
    elif version[:2] not in SUPPORTED:
        what = "too old" if version[:2] < min(SUPPORTED) else "too new"
        refusal = f"is {what}; the stack needs {supported_versions()}"
    elif "free-threading" in full:
        refusal = "is a free-threaded build, for which the stack has no wheels"
    return PythonCandidate(path, version, refusal)
