"""The revision of a model that is asked: the configured one for its model, else what is served."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.inference.test_pickled_weights import NotedError, NotingDriver
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.config_sections import AskConfig
from torbiz_tui.environments.base import EnvironmentDriver
from torbiz_tui.inference import service
from torbiz_tui.paths import Paths


@pytest.mark.parametrize(
    ("configured", "asked", "revision"),
    [
        ("v1.0", "acme/configured", "v1.0"),
        ("v1.0", "acme/served", "served-here"),
        ("", "acme/served", "served-here"),
        ("v1.0", "acme/other", ""),
    ],
)
async def test_facts_and_weights_are_of_the_revision_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str, asked: str, revision: str
) -> None:
    async def no_swarm(_model: object) -> None:
        return None

    async def facts(name: str, _paths: Paths, **given: str) -> ModelInfo:
        assert given["revision"] == revision
        return ModelInfo(name, name, "llama", 8)

    monkeypatch.setattr(service, "resolve_model", facts)
    driver = NotingDriver()
    asking = service.InferenceService(
        cast("EnvironmentDriver", driver),
        Paths(tmp_path),
        Config(model="acme/configured", ask=AskConfig(revision=configured)),
        no_swarm,
        lambda model: "served-here" if model == "acme/served" else "",
    )
    asking.choose(asked)
    with pytest.raises(NotedError):
        await asking.warm()
    options = dict(zip(driver.arguments[::2], driver.arguments[1::2], strict=True))
    assert options.get("--revision", "") == revision
