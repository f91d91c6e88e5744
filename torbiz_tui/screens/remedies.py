"""Doing what mends a known symptom, or going to where a person can do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torbiz_tui.screens.answering import largest_range
from torbiz_tui.sharing.state import Phase
from torbiz_tui.troubleshooting.symptom import Action, Symptom
from torbiz_tui.widgets.model_name import short_model

if TYPE_CHECKING:
    from textual.screen import Screen

    from torbiz_tui.assembly import Services

_DOCKER_STEP = "docker-engine"
_IMAGE_STEP = "image"
_STACK_STEP = "petals"
_SETUP_STEPS = {
    Action.START_DOCKER: _DOCKER_STEP,
    Action.REBUILD_IMAGE: _IMAGE_STEP,
    Action.REINSTALL_STACK: _STACK_STEP,
}
_STACK_NOTE = (
    "Setup looks at the installed packages and brings what is missing. If it finds nothing wrong, "
    "`torbiz-tui clean --env` removes them all; then r installs them anew."
)
# The field of the form to change, and why.
_FIELDS = {
    Action.FEWER_BLOCKS: ("blocks", "Share fewer blocks."),
    Action.OTHER_PORT: ("port", "Choose another port."),
    Action.OTHER_SETTINGS: ("model", "Share with other settings."),
    Action.HOST_MISSING_BLOCKS: ("blocks", "Share the blocks that nobody serves."),
    Action.NEW_SWARM: ("swarm", "A new private swarm is chosen."),
    Action.REPLACE_CONTAINER: ("start", "Starting asks before the other container is removed."),
}


def can_do(action: Action, services: Services) -> bool:
    """Whether the app can do that here, or go to where it is done."""
    if action in _SETUP_STEPS:
        return services.setup.has(_SETUP_STEPS[action])
    if action in (Action.FREE_DISK, Action.REPLACE_CONTAINER):
        return services.inventory is not None
    return action is not Action.NONE


async def carry_out(screen: Screen[Any], services: Services, symptom: Symptom) -> None:
    """From a screen, do what mends it, or go to where a person can."""
    action = symptom.action
    if action in _SETUP_STEPS:
        await _on_setup(screen, action)
    elif action is Action.FREE_DISK:
        await screen.run_action("app.docker_panel('clean')")
    else:
        await _on_share(screen, services, symptom)


async def _on_setup(screen: Screen[Any], action: Action) -> None:
    from torbiz_tui.screens.setup import SetupScreen

    await screen.run_action("app.go('setup')")
    setup = screen.app.screen
    if isinstance(setup, SetupScreen):
        note = _STACK_NOTE if action is Action.REINSTALL_STACK else ""
        setup.do_step(_SETUP_STEPS[action], anew=action is Action.REBUILD_IMAGE, note=note)


async def _on_share(screen: Screen[Any], services: Services, symptom: Symptom) -> None:
    from torbiz_tui.screens.share import ShareScreen

    await screen.run_action("app.go('share')")
    share = screen.app.screen
    if not isinstance(share, ShareScreen):
        return
    inference, state = services.inference, services.sharing.state
    missing = inference.route.missing if inference.route is not None else ()
    if symptom.action is Action.HOST_MISSING_BLOCKS and missing:
        share.offer(inference.model, *largest_range(missing, short_model(inference.model)))
    elif symptom.action is Action.RESTART and state.phase is Phase.FAILED:
        share.action_retry()
    elif symptom.action is Action.RESTART:
        share.prepare("start", f"{symptom.title} Start it again here.")
    else:
        field, what = _FIELDS[symptom.action]
        swarm = "new" if symptom.action is Action.NEW_SWARM else ""
        share.prepare(field, f"{symptom.title} {what}", swarm=swarm)
