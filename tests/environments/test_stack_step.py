"""The setup step of the stack: done again, it installs everything anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.app.fakes import step
from tests.conftest import demo_config
from torbiz_tui.environments.native_setup import StackStep, _Search
from torbiz_tui.environments.petals_stack import PetalsStack, Stamp
from torbiz_tui.paths import Paths
from torbiz_tui.setup.plan import SetupPlan, StepState
from torbiz_tui.setup.step import CheckResult, Reporter


class WholeStack(PetalsStack):
    """One that lacks nothing; `other` installs it while this program waits."""

    def __init__(self, home: Path) -> None:
        super().__init__(Paths(home), demo_config(home).petals)
        self.installed = 0
        self.other = False

    def stamp(self) -> Stamp | None:
        return Stamp(self.digest(), "/usr/bin/python3.11", self.torch_build)

    def missing_packages(self) -> list[str]:
        return []

    @asynccontextmanager
    async def locked(self, report: Reporter) -> AsyncIterator[bool]:
        del report
        yield self.other

    async def install(self, python: Path, report: Reporter) -> None:
        del python, report
        self.installed += 1


@pytest.fixture
def stack(tmp_path: Path) -> WholeStack:
    return WholeStack(tmp_path / "home")


def plan_of(stack: WholeStack, tmp_path: Path) -> SetupPlan:
    before = [step(name, name)(CheckResult.ready()) for name in StackStep.needs]
    search = _Search(demo_config(tmp_path / "home"), stack)
    return SetupPlan([*before, StackStep(stack, search)])


async def test_a_whole_stack_is_left_alone(stack: WholeStack, tmp_path: Path) -> None:
    plan = plan_of(stack, tmp_path)
    await plan.run()
    await plan.retry("petals")
    assert stack.installed == 0


async def test_done_again_it_is_installed_anew(stack: WholeStack, tmp_path: Path) -> None:
    plan = plan_of(stack, tmp_path)
    await plan.redo("petals")
    assert stack.installed == 1
    assert plan.statuses[-1].state is StepState.READY
    await plan.run()
    assert stack.installed == 1


async def test_what_another_program_has_just_installed_stays(
    stack: WholeStack, tmp_path: Path
) -> None:
    stack.other = True
    await plan_of(stack, tmp_path).redo("petals")
    assert stack.installed == 0
