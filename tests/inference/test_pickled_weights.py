"""What was agreed to holds for one model, in hosting and asking, until it is taken back."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import cast

import pytest

from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.cli import main
from torbiz_tui.config import Config
from torbiz_tui.environments.base import EnvironmentDriver, RunnerCommand, RunnerProcess
from torbiz_tui.errors import TorbizError
from torbiz_tui.inference import chosen_model
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths
from torbiz_tui.pickled_weights import AllowedPickles, pickled_question


class NotedError(Exception):
    pass


class NotingDriver:
    """Notes the command of a chat runner, and starts none."""

    def __init__(self) -> None:
        self.arguments: tuple[str, ...] = ()

    async def chat_runner(self, command: RunnerCommand, key: str) -> RunnerProcess:
        del key
        self.arguments = command.arguments
        raise NotedError


async def arguments_for(service: InferenceService, driver: NotingDriver, model: str) -> set[str]:
    service.choose(model)
    with pytest.raises(NotedError):
        await service.warm()
    return set(driver.arguments)


async def test_what_was_agreed_to_without_the_hub_holds_once_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_swarm(_model: object) -> None:
        return None

    async def facts(name: str, _paths: Paths, **_given: str) -> ModelInfo:
        if away:
            raise TorbizError("The hub does not answer.", code="hub_unreachable")
        return ModelInfo(name, name, "llama", 8)

    away = True
    monkeypatch.setattr(chosen_model, "resolve_model", facts)
    driver = NotingDriver()
    service = InferenceService(
        cast("EnvironmentDriver", driver), Paths(tmp_path), Config(model="acme/big"), no_swarm
    )
    with pytest.raises(TorbizError, match="does not answer"):
        await service.allow_pickled()
    away = False
    assert "--allow-pickled" in await arguments_for(service, driver, "acme/big")
    assert "--allow-pickled" not in await arguments_for(service, driver, "acme/other")


async def test_a_slow_disk_does_not_hold_up_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_swarm(_model: object) -> None:
        return None

    def slow(_allowed: AllowedPickles, _model: str) -> bool:
        # It is read when the event loop has come to something else meanwhile.
        return went_on.wait(5)

    went_on = threading.Event()
    monkeypatch.setattr(AllowedPickles, "allows", slow)
    driver = NotingDriver()
    service = InferenceService(
        cast("EnvironmentDriver", driver), Paths(tmp_path), Config(model="torbiz-demo"), no_swarm
    )
    asking = asyncio.create_task(arguments_for(service, driver, "torbiz-demo"))
    asyncio.get_running_loop().call_soon(went_on.set)
    assert "--allow-pickled" in await asking


async def test_the_runner_of_that_model_alone_may_load_them(tmp_path: Path) -> None:
    async def no_swarm(_model: object) -> None:
        return None

    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        (folder / "config.json").write_text(
            '{"model_type": "llama", "num_hidden_layers": 8, "hidden_size": 64,'
            ' "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100}'
        )
    driver, paths = NotingDriver(), Paths(tmp_path / "home")
    service = InferenceService(
        cast("EnvironmentDriver", driver), paths, Config(model=str(folders[0])), no_swarm
    )
    assert "--allow-pickled" not in await arguments_for(service, driver, str(folders[0]))
    await service.allow_pickled()
    assert "--allow-pickled" in await arguments_for(service, driver, str(folders[0]))
    assert "--allow-pickled" not in await arguments_for(service, driver, str(folders[1]))
    assert AllowedPickles(paths).allows(str(folders[0]))


def test_removing_a_model_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORBIZ_DOCKER_MODEL_CACHE", str(tmp_path / "huggingface"))
    allowed = AllowedPickles(Paths(tmp_path))
    for name in ("acme/one", "acme/two"):
        allowed.allow(name)
    main(["--home", str(tmp_path), "cache", "clean", "acme/one", "--yes"])
    assert "you will be asked" in capsys.readouterr().err
    assert (allowed.allows("acme/one"), allowed.allows("acme/two")) == (False, True)


def test_the_owner_is_named() -> None:
    error = TorbizError("They are pickled.", why="No others.")
    assert "code of its owner (acme) on this machine?" in pickled_question("acme/big", error)
    for folder in ("/models/big", "./big", "../big", "~/big"):
        assert "code of its owner on this machine?" in pickled_question(folder, error)
