"""What this machine has: processors, memory, disk, graphics processors.

What is named here is loaded when it is asked for: the full-screen app opens without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torbiz_tui.hardware.cgroups import CgroupLimits, cgroup_limits
    from torbiz_tui.hardware.gpus import Gpu, nvidia_gpu
    from torbiz_tui.hardware.machine import Hardware, look

__all__ = ["CgroupLimits", "Gpu", "Hardware", "cgroup_limits", "look", "nvidia_gpu"]

_MODULES = {
    "CgroupLimits": "cgroups",
    "Gpu": "gpus",
    "Hardware": "machine",
    "cgroup_limits": "cgroups",
    "look": "machine",
    "nvidia_gpu": "gpus",
}


def __getattr__(name: str) -> object:
    """Load what is asked for. Raises AttributeError for a name that is not here."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
