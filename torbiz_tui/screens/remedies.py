"""Doing what mends a known symptom, or going to where a person can do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torbiz_tui.screens.answering import largest_range
from torbiz_tui.sharing.state import Phase
from torbiz_tui.troubleshooting.recognising import where_installed
from torbiz_tui.troubleshooting.symptom import Action, Explanation
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
_NOTES = {
    Action.REINSTALL_STACK: "The environment of Petals is removed and installed anew; what was"
    " downloaded is kept and used again.",
}
# The field of the form to change, and why.
_FIELDS = {
    Action.FEWER_BLOCKS: ("blocks", "Share fewer blocks."),
    Action.OTHER_PORT: ("port", "Choose another port."),
    Action.OTHER_SETTINGS: ("model", "Share with other settings."),
    Action.HOST_MISSING_BLOCKS: ("blocks", "Share the blocks that nobody serves."),
    Action.NEW_SWARM: ("swarm", "A new private swarm is chosen."),
    Action.REPLACE_CONTAINER: ("start", "Starting asks before the other container is removed."),
}
# Other settings are meant by each symptom: those that have a field of their own.
_SETTINGS = {
    "address_invalid": ("peers", "Give the address again."),
    "attention_cache_full": ("cache_tokens", "Choose a larger attention cache."),
    "behind_nat": ("announce", "Give the outer address and port of the router."),
    "bitsandbytes_without_gpu": ("quantization", "Choose none."),
    "blocks_not_given": ("blocks", "Give a number of blocks."),
    "bridge_address": ("announce", "Give this machine's own address."),
    "float16_on_cpu": ("torch_dtype", "Choose auto, float32 or bfloat16."),
    "not_reachable": ("announce", "Give the outer address and port of the router."),
    "rebalancing": ("blocks", "Give exact blocks, such as 0:8, to keep them."),
}


def can_do(action: Action, services: Services) -> bool:
    """Whether the app can do that here, or go to where it is done."""
    if action in _SETUP_STEPS:
        return services.setup.has(_SETUP_STEPS[action])
    if action in (Action.FREE_DISK, Action.REPLACE_CONTAINER):
        return services.inventory is not None
    return action is not Action.NONE


def explain(screen: Screen[Any], services: Services, told: Explanation) -> None:
    """Lay over a screen what is known, and do what mends it when that is wanted."""
    from torbiz_tui.screens.logs_explanation import ExplanationScreen

    if not services.setup.has(_IMAGE_STEP):
        told = where_installed(told, in_container=False)

    def answered(wanted: bool | None) -> None:
        if wanted:
            remedy = carry_out(screen, services, told)
            screen.run_worker(remedy, group="remedy", exclusive=True, exit_on_error=False)

    screen.app.push_screen(ExplanationScreen(told, can_do=can_do(told.action, services)), answered)


async def carry_out(screen: Screen[Any], services: Services, told: Explanation) -> None:
    """From a screen, do what mends it, or go to where a person can."""
    action = told.action
    if action in _SETUP_STEPS:
        await on_setup(screen, action)
    elif action is Action.FREE_DISK:
        await screen.run_action("app.docker_panel('clean')")
    else:
        await _on_share(screen, services, told)


async def on_setup(screen: Screen[Any], action: Action) -> None:
    """Go to Setup, and do the step that such an action is."""
    from torbiz_tui.screens.setup import SetupScreen

    await screen.run_action("app.go('setup')")
    setup = screen.app.screen
    if not isinstance(setup, SetupScreen):
        return
    if action is Action.REINSTALL_STACK and _serves_from_stack(setup.services):
        setup.notice.show_text(
            "The server that runs here uses that environment: stop it first (F2, then x)."
        )
    else:
        anew = action is not Action.START_DOCKER
        setup.do_step(_SETUP_STEPS[action], anew=anew, note=_NOTES.get(action, ""))


def _serves_from_stack(services: Services) -> bool:
    state = services.sharing.state
    return state.active and state.container is None


async def _on_share(screen: Screen[Any], services: Services, told: Explanation) -> None:
    from torbiz_tui.screens.share import ShareScreen

    await screen.run_action("app.go('share')")
    share = screen.app.screen
    if not isinstance(share, ShareScreen):
        return
    inference, state = services.inference, services.sharing.state
    missing = inference.route.missing if inference.route is not None else ()
    if told.action is Action.HOST_MISSING_BLOCKS and missing:
        share.offer(inference.model, *largest_range(missing, short_model(inference.model)))
    elif told.action is Action.RESTART and state.phase is Phase.FAILED:
        share.action_retry()
    elif told.action is Action.RESTART:
        share.prepare("start", f"{told.title} Start it again here.")
    else:
        field, what = _SETTINGS.get(told.symptom.id, _FIELDS[told.action])
        swarm = "new" if told.action is Action.NEW_SWARM else ""
        share.prepare(field, f"{told.title} {what}", swarm=swarm)
