"""The setup steps of the native environment."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torbiz_tui import hardware
from torbiz_tui.catalogue import check_model_files
from torbiz_tui.config import Config
from torbiz_tui.environments.base import RunnerCommand, RunnerProcess
from torbiz_tui.environments.petals_stack import PetalsStack
from torbiz_tui.environments.python_search import PythonSearch, find_python, supported_versions
from torbiz_tui.environments.uv_command import run_uv
from torbiz_tui.errors import BlockedError, TorbizError
from torbiz_tui.paths import Paths, demo_model, shown
from torbiz_tui.setup.step import CheckResult, Reporter, Step

# The venv takes 0.95 GB with torch's CPU build and about 6 GB with its CUDA build.
_SPACE_CPU = 2 * 10**9
_SPACE_CUDA = 9 * 10**9
_VERIFY_TIMEOUT_S = 300.0
_PYTHON_DOWNLOAD_TIMEOUT_S = 600.0

Spawn = Callable[[RunnerCommand], Awaitable[RunnerProcess]]


def native_steps(paths: Paths, config: Config, stack: PetalsStack, spawn: Spawn) -> Sequence[Step]:
    """The steps in the order in which they are shown."""
    search = _Search(config, stack)
    steps: list[Step] = [
        HomeStep(paths, stack),
        HardwareStep(stack),
        PythonStep(search),
        StackStep(stack, search),
        VerifyStep(stack, spawn),
    ]
    if config.demo:
        steps.append(DemoModelStep())
    return steps


class _Search:
    """The search for a Python; what it found last is kept for the steps that need it."""

    def __init__(self, config: Config, stack: PetalsStack) -> None:
        self._last: PythonSearch | None = None
        self.wanted = config.petals.python
        self._stack = stack

    async def find(self) -> PythonSearch:
        """Look anew."""
        self._last = await find_python(self.wanted)
        return self._last

    async def last(self) -> PythonSearch:
        """What was found last; looks when nobody has looked yet."""
        return self._last or await self.find()

    def in_use(self) -> str:
        """The Python of a finished venv; empty when there is none."""
        stamp = self._stack.stamp()
        return stamp.python if stamp is not None and Path(stamp.python).exists() else ""


class HomeStep(Step):
    """The home folder can be written and has room."""

    id = "home"
    title = "Folder and disk space"

    def __init__(self, paths: Paths, stack: PetalsStack) -> None:
        self._paths = paths
        self._stack = stack

    async def check(self) -> CheckResult:
        self._paths.ensure()
        free = shutil.disk_usage(self._paths.home).free
        found = f"{shown(self._paths.home)}, {free / 1e9:.1f} GB free"
        if self._stack.stamp() is None:
            needed = _SPACE_CUDA if self._stack.torch_build == "cuda" else _SPACE_CPU
            if free < needed:
                return CheckResult.blocked(
                    f"{found}; the stack needs {needed / 1e9:.0f} GB",
                    "Free some disk space, or choose a folder on another disk with --home.",
                )
        return CheckResult.ready(found)

    async def apply(self, report: Reporter) -> None:
        """Nothing: check has created what was missing."""


class HardwareStep(Step):
    """What the machine has, and so which build of torch it gets."""

    id = "hardware"
    title = "Processor and memory"

    def __init__(self, stack: PetalsStack) -> None:
        self._stack = stack

    async def check(self) -> CheckResult:
        found = await asyncio.to_thread(hardware.look)
        build = {"cpu": "CPU build", "cuda": "CUDA build", "default": "default build"}
        return CheckResult.ready(f"{found.sentence()}: {build[self._stack.torch_build]} of torch")

    async def apply(self, report: Reporter) -> None:
        """Nothing can be missing."""


class PythonStep(Step):
    """A Python that the stack has wheels for."""

    id = "python"
    title = "Python for Petals"

    def __init__(self, search: _Search) -> None:
        self._search = search

    async def check(self) -> CheckResult:
        if in_use := self._search.in_use():
            return CheckResult.ready(shown(in_use))
        found = await self._search.find()
        if found.chosen is not None and found.chosen.version is not None:
            version = ".".join(map(str, found.chosen.version))
            return CheckResult.ready(f"Python {version} at {shown(found.chosen.path)}")
        if self._search.wanted:
            return CheckResult.blocked(
                f"petals.python: {found.candidates[0].line()}",
                f"Set petals.python to a Python {supported_versions()}, or remove it.",
            )
        return CheckResult.missing(
            f"No Python {supported_versions()} among the {len(found.candidates)} looked at"
        )

    async def apply(self, report: Reporter) -> None:
        found = await self._search.last()
        for candidate in found.candidates:
            report.output(candidate.line())
        report.progress(None, "Downloading Python 3.11 with uv")
        try:
            await run_uv(
                ["python", "install", "3.11"], {}, report, timeout_s=_PYTHON_DOWNLOAD_TIMEOUT_S
            )
        except TorbizError as error:
            looked_at = tuple(candidate.line() for candidate in found.candidates)
            raise BlockedError(
                f"There is no Python {supported_versions()}, and uv could not download one.",
                why=error.what,
                remedy=_python_instruction(),
                code="no_python",
                details=("Looked at:", *looked_at),
            ) from error


def _python_instruction() -> str:
    if sys.platform == "darwin":
        return "Run `brew install python@3.11` (https://brew.sh), then retry."
    return (
        "Install Python 3.11 (`apt install python3.11`, `dnf install python3.11`, or with pyenv), "
        "or name one with petals.python, then retry."
    )


class StackStep(Step):
    """Petals and all that it needs, in the managed venv.

    Doing it again although all is there removes the venv and installs everything anew: files of
    packages may be damaged that are there by name.
    """

    id = "petals"
    title = "Petals and its stack"
    needs = ("home", "hardware", "python")

    def __init__(self, stack: PetalsStack, search: _Search) -> None:
        self._stack = stack
        self._search = search

    async def check(self) -> CheckResult:
        stamp = self._stack.stamp()
        if stamp is None:
            return CheckResult.missing("Not installed: about 350 MB to download")
        if stamp.digest != self._stack.digest():
            return CheckResult.missing("Installed, but for other versions than this program pins")
        missing = await asyncio.to_thread(self._stack.missing_packages)
        if missing:
            return CheckResult.missing(f"Damaged; missing: {', '.join(missing[:4])}")
        return CheckResult.ready(f"Installed ({stamp.torch} build of torch)")

    async def apply(self, report: Reporter) -> None:
        async with self._stack.locked(report) as waited:
            # Another program may have installed it while this one waited.
            if waited and (await self.check()).readiness == "ready":
                return
            found = await self._search.last()
            if found.chosen is None:
                raise BlockedError(
                    f"There is no Python {supported_versions()}.", remedy=_python_instruction()
                )
            await self._stack.install(found.chosen.path, report)


class VerifyStep(Step):
    """The whole stack can be imported."""

    id = "verify"
    title = "Verification"
    needs = ("petals",)

    def __init__(self, stack: PetalsStack, spawn: Spawn) -> None:
        self._stack = stack
        self._spawn = spawn

    async def check(self) -> CheckResult:
        stamp = self._stack.stamp()
        if stamp is None or stamp.verified is None:
            return CheckResult.missing("Not verified yet")
        versions = stamp.verified.get("versions", {})
        named = ", ".join(
            f"{name} {versions[name]}"
            for name in ("petals", "hivemind", "torch")
            if name in versions
        )
        devices = ", ".join(stamp.verified.get("devices", []))
        return CheckResult.ready(f"{named} on {devices}")

    async def apply(self, report: Reporter) -> None:
        stamp = self._stack.stamp()
        if stamp is None:
            raise TorbizError("The stack is not installed.", remedy="Retry the step before.")
        report.progress(None, "Importing Petals")
        runner = await self._spawn(RunnerCommand("check_stack.py", log_name="setup.log"))
        result = None
        try:
            async with asyncio.timeout(_VERIFY_TIMEOUT_S):
                async for message in runner.messages():
                    report.output(json.dumps(message, ensure_ascii=False))
                    if message["type"] == "progress":
                        report.progress(None, str(message.get("detail", "")))
                    elif message["type"] == "result":
                        result = message
        except TimeoutError:
            raise TorbizError(
                f"Petals could not be imported within {_VERIFY_TIMEOUT_S:.0f} s.",
                remedy="The machine may be very busy; retry.",
            ) from None
        finally:
            ended = await runner.stop(grace_s=1.0)
        if result is None or not result.get("ok"):
            raise TorbizError(
                "Petals cannot be imported.",
                why=str((result or {}).get("error", ended.sentence())),
                remedy="Let Setup install the stack anew.",
                details=ended.last_lines,
            )
        self._stack.write_stamp(
            replace(
                stamp,
                verified={key: result[key] for key in ("versions", "devices") if key in result},
            )
        )


class DemoModelStep(Step):
    """The model that ships with the program is whole."""

    id = "demo"
    title = "Demo model"

    async def check(self) -> CheckResult:
        problem = await asyncio.to_thread(check_model_files, demo_model())
        if problem:
            return CheckResult.blocked(
                problem, "The installation of torbiz-tui is damaged: install it again."
            )
        size = sum(entry.stat().st_size for entry in os.scandir(demo_model()) if entry.is_file())
        return CheckResult.ready(f"{size / 1e6:.1f} MB, knows only this program's documentation")

    async def apply(self, report: Reporter) -> None:
        """Nothing: it is part of the program."""
