"""The revision of a model that is asked: the named one, the configured one, else what is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.inference.test_pickled_weights import NotedError, NotingDriver
from torbiz_tui.assembly import build_services
from torbiz_tui.catalogue import ModelInfo
from torbiz_tui.config import Config
from torbiz_tui.config_sections import AskConfig, SwarmConfig
from torbiz_tui.environments.base import Environment, EnvironmentDriver, ServerSpec
from torbiz_tui.environments.native_record import NativeRecord, record_to_json
from torbiz_tui.errors import UsageError
from torbiz_tui.inference import chosen_model
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths, write_json

PEER = "/ip4/192.0.2.7/tcp/31337/p2p/QmPeer"
Served = dict[str, str]
"""The revision that this machine serves, by model."""
Maker = Callable[[Config, Served], tuple[InferenceService, NotingDriver]]


@pytest.fixture
def facts_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The models whose facts the hub was asked for, with the revision."""
    read: list[tuple[str, str]] = []

    async def facts(name: str, _paths: Paths, *, channel: str, revision: str) -> ModelInfo:
        del channel
        read.append((name, revision))
        return ModelInfo(name, name, "llama", 8)

    monkeypatch.setattr(chosen_model, "resolve_model", facts)
    return read


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    """Makes a service for a configuration, and what notes how its runner is called."""

    async def no_swarm(_model: object) -> None:
        return None

    def made(config: Config, served: Served) -> tuple[InferenceService, NotingDriver]:
        async def served_revision(model: str) -> str:
            return served.get(model, "")

        driver = NotingDriver()
        typed = cast("EnvironmentDriver", driver)
        paths = Paths(tmp_path)
        return InferenceService(typed, paths, config, no_swarm, served_revision), driver

    return made


async def loaded(asking: InferenceService, driver: NotingDriver) -> str:
    """The revision that the runner is told to load; empty for main."""
    with pytest.raises(NotedError):
        await asking.warm()
    told = driver.arguments
    return told[told.index("--revision") + 1] if "--revision" in told else ""


@pytest.mark.parametrize(
    ("configured", "asked", "named", "revision"),
    [
        ("v1.0", "acme/configured", "", "v1.0"),
        ("v1.0", "acme/served", "", "served-here"),
        ("", "acme/served", "", "served-here"),
        ("v1.0", "acme/other", "", ""),
        ("v1.0", "acme/other", "v2", "v2"),
        ("v1.0", "acme/served", "v2", "v2"),
    ],
)
async def test_facts_and_weights_are_of_the_revision_that_is_asked(
    make: Maker,
    facts_read: list[tuple[str, str]],
    configured: str,
    asked: str,
    named: str,
    revision: str,
) -> None:
    config = Config(model="acme/configured", ask=AskConfig(revision=configured))
    asking, driver = make(config, {"acme/served": "served-here"})
    asking.choose(asked, revision=named)
    assert await loaded(asking, driver) == revision
    assert facts_read == [(asked, revision)]


async def test_another_revision_has_facts_of_its_own(
    make: Maker, facts_read: list[tuple[str, str]]
) -> None:
    served = {"acme/big": "v1"}
    asking, driver = make(Config(model="acme/big"), served)
    assert [await loaded(asking, driver) for _ in range(2)] == ["v1", "v1"]
    served["acme/big"] = "v2"
    assert await loaded(asking, driver) == "v2"
    assert facts_read == [("acme/big", "v1"), ("acme/big", "v2")]


async def test_a_named_revision_of_what_has_none_is_refused(make: Maker) -> None:
    asking, _driver = make(Config(model="torbiz-demo"), {})
    asking.choose("torbiz-demo", revision="v2")
    with pytest.raises(UsageError, match=r"torbiz-demo is a folder .* no revision v2"):
        await asking.warm()


@pytest.mark.usefixtures("facts_read")
@pytest.mark.parametrize(("local", "peers"), [(True, ()), (False, (PEER,))], ids=["local", "peers"])
async def test_what_this_machine_serves_is_asked_wherever(
    tmp_path: Path, local: bool, peers: tuple[str, ...]
) -> None:
    config = Config(
        environment="native",
        ask=AskConfig(local=local),
        swarm=SwarmConfig(initial_peers=peers),
    )
    paths = Paths(tmp_path)
    paths.ensure()
    spec = ServerSpec("acme/big", "acme/big", 8, petals_options=("revision=v1",))
    record = NativeRecord.of(2**22 + 1, "gone", 0.0, spec, (tmp_path / "server.log", 0))
    write_json(paths.run / "server.json", record_to_json(record))
    services = build_services(config, paths)
    driver = NotingDriver()
    hosting = services.environment.hosting
    services.environment = Environment(hosting, cast("EnvironmentDriver", driver))
    services.inference.choose("acme/big")
    assert await loaded(services.inference, driver) == "v1"
    services.inference.choose("acme/other")
    assert await loaded(services.inference, driver) == ""
    await services.close()
