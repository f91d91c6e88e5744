"""What this machine has: processors, memory, disk, graphics processors.

What is named here is loaded when it is asked for: the full-screen app opens without it.
"""

from typing import TYPE_CHECKING

from torbiz_tui.lazily import lazily

if TYPE_CHECKING:
    from torbiz_tui.hardware.cgroups import CgroupLimits, cgroup_limits
    from torbiz_tui.hardware.gpus import Gpu, nvidia_gpu
    from torbiz_tui.hardware.machine import Hardware, as_containers_see, look

__all__ = [
    "CgroupLimits",
    "Gpu",
    "Hardware",
    "as_containers_see",
    "cgroup_limits",
    "look",
    "nvidia_gpu",
]

__getattr__ = lazily(
    __name__,
    {
        "CgroupLimits": "cgroups",
        "Gpu": "gpus",
        "Hardware": "machine",
        "as_containers_see": "machine",
        "cgroup_limits": "cgroups",
        "look": "machine",
        "nvidia_gpu": "gpus",
    },
)
