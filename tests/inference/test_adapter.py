"""The adapter that the servers are to use: the named one, else what is configured for the model."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.inference.test_pickled_weights import NotedError, NotingDriver
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.config_sections import AskConfig
from torbiz_tui.environments.base import EnvironmentDriver
from torbiz_tui.errors import ExitCode, UsageError
from torbiz_tui.inference import chosen_model
from torbiz_tui.inference.runner_messages import read_error
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths


@pytest.fixture
def asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[InferenceService, NotingDriver]:
    async def facts(name: str, _paths: Paths, **_given: str) -> ModelInfo:
        return ModelInfo(name, name, "llama", 8)

    async def no_swarm(_model: object) -> None:
        return None

    monkeypatch.setattr(chosen_model, "resolve_model", facts)
    driver = NotingDriver()
    config = Config(model="acme/one", ask=AskConfig(adapter="acme/lora"))
    typed = cast("EnvironmentDriver", driver)
    return InferenceService(typed, Paths(tmp_path), config, no_swarm), driver


async def test_it_is_that_of_the_model_that_is_asked(
    asking: tuple[InferenceService, NotingDriver],
) -> None:
    service, driver = asking

    async def asked_with() -> str:
        with pytest.raises(NotedError):
            await service.warm()
        told = driver.arguments
        return told[told.index("--adapter") + 1] if "--adapter" in told else ""

    assert await asked_with() == service.adapter == "acme/lora"
    for model, named, adapter in (
        ("acme/two", None, ""),
        ("acme/two", "mine", "mine"),
        ("acme/one", None, "acme/lora"),
        ("acme/one", "", ""),
    ):
        service.choose(model, adapter=named)
        assert await asked_with() == service.adapter == adapter
    service.choose("acme/one", local=True)
    with pytest.raises(UsageError, match="acme/lora cannot be had with a model in this machine"):
        await service.warm()


@pytest.mark.parametrize(
    ("without", "hosted", "words"),
    [
        ([[0, 4]], ["mine", "b/c"], "for blocks 0–3 of acme/one. Their servers host: mine, b/c."),
        ([[0, 4]], [], "Their servers host no adapter."),
        ([[1, 2]], ["mine"], "Only blocks 1 have servers, without it; the others have none."),
    ],
)
def test_that_no_server_hosts_it_is_said_with_the_blocks(
    without: list[list[int]], hosted: list[str], words: str
) -> None:
    told = {"missing": [[0, 4]], "adapter": "acme/lora", "without_adapter": without}
    error = read_error({"code": "adapter_missing", "adapters": hosted} | told, "acme/one", 8)
    assert (error.code, error.exit_code) == ("adapter_missing", ExitCode.NOT_SERVED)
    assert "No server hosts the adapter acme/lora for blocks 0–3 of acme/one." in str(error)
    assert words in str(error)
    assert "--petals adapters=acme/lora" in error.remedy


def test_servers_with_it_that_go_during_an_answer_are_told_with_it() -> None:
    told = {"code": "missing_blocks", "missing": [[0, 4]], "adapter": "mine"}
    error = read_error(told, "acme/one", 8)
    assert error.what == "Nobody serves blocks 0–3 of acme/one with the adapter mine now."
