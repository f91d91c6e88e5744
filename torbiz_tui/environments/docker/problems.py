"""What an engine's failures mean for a person, and what to do about each on this platform."""

from __future__ import annotations

from torbiz_tui.environments.docker.endpoints import Endpoint
from torbiz_tui.errors import TorbizError


def engine_error(
    error: Exception, endpoint: Endpoint, *, doing: str, timeout_s: float
) -> TorbizError:
    """The failure of a call that was made for `doing` ("starting the container")."""
    if isinstance(error, TimeoutError):
        return TorbizError(
            f"Docker did not answer within {timeout_s:.0f} s while {doing}.",
            remedy=f"See whether the engine at {endpoint.address} is busy or stuck, then try again.",
            code="docker_timeout",
        )
    return TorbizError(
        f"Docker refused while {doing}.",
        why=f"{type(error).__name__}: {error}",
        code="docker_failed",
    )
