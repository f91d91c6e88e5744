"""What this machine has: processors, memory, disk, graphics processors."""

from torbiz_tui.hardware.cgroups import CgroupLimits, cgroup_limits
from torbiz_tui.hardware.gpus import Gpu, nvidia_gpu
from torbiz_tui.hardware.machine import Hardware, look

__all__ = ["CgroupLimits", "Gpu", "Hardware", "cgroup_limits", "look", "nvidia_gpu"]
