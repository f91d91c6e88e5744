"""`api` over a service that a test scripts by a word; the runner's death is in other tests."""

from __future__ import annotations

import sys
from typing import cast

from tests.api.fakes import DONE, FakeService, said
from tests.cli.fakes import Scene, serving
from torbiz_tui.assembly import Services
from torbiz_tui.cli import main
from torbiz_tui.commands import running
from torbiz_tui.config import Config
from torbiz_tui.errors import NotServedError, TorbizError, UsageError
from torbiz_tui.inference.events import TokenReceived
from torbiz_tui.inference.service import InferenceService
from torbiz_tui.paths import Paths

WORD = sys.argv[1]


class HubIsAway(FakeService):
    async def allow_pickled(self) -> None:
        raise TorbizError(f"The hub does not answer for {self.model} at {self.revision}.")


def build(config: Config, paths: Paths) -> Services:
    service, scene = HubIsAway() if WORD == "no-hub" else FakeService(), Scene()
    service.model = config.model
    if WORD == "endless":
        service.steps = [TokenReceived("Once "), None, DONE]
    elif WORD == "not-served":
        service.warm_error = NotServedError("Nobody serves torbiz-demo now.")
    elif WORD == "no-such-model":
        service.warm_error = UsageError("There is no model 'x'.", code="model_not_found")
    elif WORD == "refused":
        service.refusal = TorbizError("Its weights are pickled.", code="pickled_weights")
    elif WORD == "no-hub":
        scene.state = serving("acme/big")
    else:
        service.steps = said("Petals is a swarm.")
    services = scene.build(config, paths)
    services.__dict__["inference"] = cast("InferenceService", service)
    return services


vars(running)["build_services"] = build
sys.exit(main(sys.argv[2:]))
