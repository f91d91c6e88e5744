"""The model that a command means when nobody has named one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torbiz_tui.assembly import Services

if TYPE_CHECKING:
    from torbiz_tui.sharing.state import SharingState


async def configured_or_hosted(services: Services) -> str:
    """The configured model, else the one that this machine hosts; empty without either."""
    if services.config.model:
        return services.config.model
    return hosted_model(await services.sharing.attach())


def hosted_model(state: SharingState) -> str:
    """The hosted model as this machine finds it again: a folder by its path; empty without one."""
    if not state.active or state.spec is None:
        return ""
    from torbiz_tui.sharing.inviting import folder_of

    return folder_of(state.spec) or state.spec.model
