"""The models that Petals can serve: the demo, local folders, and models of the hub."""

from torbiz_tui.catalogue.architecture import MAIN, RELEASE, Architecture, read_architecture
from torbiz_tui.catalogue.hub import HUB_TIMEOUT_S
from torbiz_tui.catalogue.local import check_model_files, local_info
from torbiz_tui.catalogue.model_info import ModelInfo
from torbiz_tui.catalogue.resolving import DEMO_MODEL, demo_info, known_models, resolve_model

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
    "read_architecture",
    "resolve_model",
]
