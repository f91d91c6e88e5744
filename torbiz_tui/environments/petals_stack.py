"""The managed venv: which stack it must hold, whether it does, and how it gets there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torbiz_tui.catalogue import MAIN, RELEASE
from torbiz_tui.config import PetalsConfig
from torbiz_tui.environments.stack_pins import (
    Pin,
    explain_git_failure,
    normal_name,
    pins_of,
    pins_text,
    require_git,
    torch_pin,
)
from torbiz_tui.environments.work_lock import work_lock
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths, requirements_file, write_json
from torbiz_tui.setup.step import Reporter

if TYPE_CHECKING:
    from torbiz_tui.environments.package_sources import PackageSources


@dataclass(frozen=True)
class Stamp:
    """What `env/torbiz-stack.json` remembers of the last installation.

    `digest` names the pins that were installed, `verified` what the check of the imports found
    (versions and devices), None before it.
    """

    digest: str
    python: str
    torch: str
    verified: dict[str, Any] | None = None


class PetalsStack:
    """The Petals stack of one home folder."""

    def __init__(self, paths: Paths, config: PetalsConfig) -> None:
        self._paths = paths
        self._config = config

    @property
    def torch_build(self) -> str:
        """Which build of torch is right here: `cpu`, `cuda`, or `default` (outside Linux)."""
        wanted: str = self._config.torch
        if wanted != "auto":
            return wanted
        if sys.platform != "linux":
            return "default"
        from torbiz_tui.hardware import nvidia_gpu

        return "cuda" if nvidia_gpu() else "cpu"

    def digest(self) -> str:
        """A name for what should be installed."""
        pins = self._pins_text.encode()
        return hashlib.sha256(pins + self.torch_build.encode()).hexdigest()[:16]

    @property
    def channel(self) -> str:
        """Which Petals: `release` of PyPI, or `main` of its repository."""
        return str(self._config.channel)

    @property
    def _pins_text(self) -> str:
        return pins_text(self.channel)

    @property
    def _pins(self) -> list[Pin]:
        return pins_of(self._pins_text)

    @property
    def _stamp_file(self) -> Path:
        return self._paths.env / "torbiz-stack.json"

    def stamp(self) -> Stamp | None:
        """What is installed; None when there is nothing, or only half of it."""
        try:
            data = json.loads(self._stamp_file.read_text("utf-8"))
            stamp = Stamp(data["digest"], data["python"], data["torch"], data.get("verified"))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return stamp if self._paths.env_python.exists() else None

    def write_stamp(self, stamp: Stamp) -> None:
        """Remember what is installed."""
        write_json(self._stamp_file, asdict(stamp))

    def looks_ready(self) -> bool:
        """Whether the right stack was installed and verified; a matter of a millisecond."""
        stamp = self.stamp()
        return stamp is not None and stamp.digest == self.digest() and stamp.verified is not None

    def missing_packages(self) -> list[str]:
        """Pinned packages that the venv does not hold in the pinned version."""
        site = next(self._paths.env.glob("lib/python3.*/site-packages"), None)
        if site is None:
            return ["everything"]
        installed = set()
        for entry in site.glob("*.dist-info"):
            name, _, version = entry.name.removesuffix(".dist-info").partition("-")
            installed.add((normal_name(name), version.partition("+")[0]))
        names = {name for name, _version in installed}
        return sorted(
            f"{pin.name} {pin.version}".strip()
            for pin in self._pins
            # Which of the marked lines applies is uv's to decide; that one is there suffices.
            if (pin.name not in names if pin.loose else (pin.name, pin.version) not in installed)
        )

    def require_installed(self) -> None:
        """Raises TorbizError (`not_ready`) when a runner could not start."""
        if self.stamp() is None:
            raise not_ready()

    def require_ready(self) -> None:
        """Raises TorbizError (`not_ready`) when the stack is not installed or not verified."""
        if not self.looks_ready():
            raise not_ready()

    def locked(self, report: Reporter) -> AbstractAsyncContextManager[bool]:
        """Hold the lock of the installation; gives whether another program had it first."""
        return work_lock(self._paths.run / "setup.lock", "installing", report)

    async def install(self, python: Path, report: Reporter) -> None:
        """Build the venv anew with `python`; raises TorbizError.

        The stamp is written last: after a kill anywhere there is none, and the next call begins
        with an empty folder again. Downloads are kept in uv's own cache.
        """
        if self.channel == MAIN:
            # Before anything that works is removed.
            require_git()
        from torbiz_tui.environments.package_sources import package_sources

        sources = package_sources(self._config, os.environ)
        self._stamp_file.unlink(missing_ok=True)
        if self._paths.env.exists():
            from torbiz_tui.environments.shared_runner import SharedRunners

            # One that a program uses goes on with what it has loaded.
            await SharedRunners(self._paths).end_unused()
            report.output(f"Removing {self._paths.env}")
            await asyncio.to_thread(shutil.rmtree, self._paths.env)
        report.progress(None, "Creating the venv")
        await self._uv(
            ["venv", "--no-project", "--python", str(python), str(self._paths.env)], sources, report
        )
        pins = str(self._written_pins())
        into = ["--python", str(self._paths.env_python), *sources.arguments]
        build = self.torch_build
        if build == "cpu":
            constraint, backend = await self._cpu_torch(into, sources, report)
            await self._install_pins([*into, *backend, "-r", pins, *constraint], sources, report)
        else:
            await self._install_pins([*into, "-r", pins], sources, report)
            if build == "cuda":
                # The pins are complete but for the CUDA libraries, which only torch's own
                # requirements name.
                constraint = ["--constraint", str(requirements_file())]
                torch = torch_pin(self._pins)
                await self._uv(["pip", "install", *into, torch, *constraint], sources, report)
        self.write_stamp(Stamp(self.digest(), str(python), build))

    def _written_pins(self) -> Path:
        """The pins as a file for uv; the environment exists already."""
        if self.channel == RELEASE:
            return requirements_file()
        file = self._paths.env / "torbiz-pins.txt"
        file.write_text(self._pins_text, encoding="utf-8")
        return file

    async def _install_pins(
        self, arguments: Sequence[str], sources: PackageSources, report: Reporter
    ) -> None:
        try:
            await self._uv(["pip", "install", "--no-deps", *arguments], sources, report)
        except TorbizError as error:
            raise (explain_git_failure(error) if self.channel == MAIN else error) from None

    async def _uv(
        self, arguments: Sequence[str], sources: PackageSources, report: Reporter
    ) -> None:
        from torbiz_tui.environments.uv_command import run_uv

        await run_uv(arguments, sources.environ, report, timeout_s=self._config.install_timeout_s)

    async def _cpu_torch(
        self, into: Sequence[str], sources: PackageSources, report: Reporter
    ) -> tuple[list[str], list[str]]:
        """The options that choose torch's CPU build: from the configured sources, else PyTorch's.

        PyPI's Linux build of torch is the CUDA build, with gigabytes of libraries.
        """
        cpu = f"{torch_pin(self._pins)}+cpu"
        constraint = self._paths.env / "torch-cpu.txt"
        constraint.write_text(cpu + "\n", encoding="utf-8")
        options = ["--constraint", str(constraint)]
        quiet = Reporter(progress=report.progress, output=lambda _line: None)
        if sources.find_links or "--index" in into or "--default-index" in into:
            report.progress(None, "Looking for torch's CPU build in the configured sources")
            try:
                await self._uv(
                    ["pip", "install", *into, "--no-deps", "--dry-run", cpu], sources, quiet
                )
            except TorbizError:
                report.output(f"{cpu} is not in the configured sources; using PyTorch's own index.")
            else:
                return options, []
        return options, ["--torch-backend", "cpu"]


def not_ready() -> TorbizError:
    """The error for whatever needs the stack before Setup has finished."""
    return TorbizError(
        "Petals is not installed yet.",
        remedy="Run Setup first (F1, or `torbiz-tui setup`).",
        code="not_ready",
    )
