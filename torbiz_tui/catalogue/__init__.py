"""The models that Petals can serve: the demo, local folders, and models of the hub.

What is named here is loaded when it is asked for: the full-screen app opens without it.
"""

from typing import TYPE_CHECKING

from torbiz_tui.lazily import lazily

if TYPE_CHECKING:
    from torbiz_tui.catalogue.architecture import MAIN, RELEASE, Architecture, read_architecture
    from torbiz_tui.catalogue.hub import HUB_TIMEOUT_S
    from torbiz_tui.catalogue.local import check_model_files, local_info
    from torbiz_tui.catalogue.model_info import DEMO_MODEL, ModelInfo
    from torbiz_tui.catalogue.resolving import (
        demo_info,
        known_models,
        published_models,
        resolve_model,
    )

__all__ = [
    "DEMO_MODEL",
    "HUB_TIMEOUT_S",
    "MAIN",
    "RELEASE",
    "Architecture",
    "ModelInfo",
    "check_model_files",
    "demo_info",
    "known_models",
    "local_info",
    "published_models",
    "read_architecture",
    "resolve_model",
]

__getattr__ = lazily(
    __name__,
    {
        "DEMO_MODEL": "model_info",
        "HUB_TIMEOUT_S": "hub",
        "MAIN": "architecture",
        "RELEASE": "architecture",
        "Architecture": "architecture",
        "ModelInfo": "model_info",
        "check_model_files": "local",
        "demo_info": "resolving",
        "known_models": "resolving",
        "published_models": "resolving",
        "local_info": "local",
        "read_architecture": "architecture",
        "resolve_model": "resolving",
    },
)
