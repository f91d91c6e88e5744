"""How busy a GPU is, from what drivers print and show."""

from __future__ import annotations

from pathlib import Path

from torbiz_tui.hardware.gpu_use import GpuUse, read_amd_use, read_nvidia_use

SMI = """\
0, GPU-aaa, 45, 12288, 81559
1, GPU-bbb, 0, 4, 81559
2, GPU-ccc, [N/A], [N/A], [N/A]
"""


def test_nvidia_smi_tells_the_gpu_that_a_program_sees() -> None:
    assert read_nvidia_use(SMI, 0) == GpuUse(45.0, 12288 * 2**20, 81559 * 2**20)
    assert read_nvidia_use(SMI, 0, "1,0") == GpuUse(0.0, 4 * 2**20, 81559 * 2**20)
    assert read_nvidia_use(SMI, 0, "GPU-bbb") == GpuUse(0.0, 4 * 2**20, 81559 * 2**20)


def test_what_is_not_told_is_not_known() -> None:
    assert read_nvidia_use(SMI, 2) is None
    assert read_nvidia_use(SMI, 7) is None
    assert read_nvidia_use(SMI, 0, "") is None
    assert read_nvidia_use("No devices were found", 0) is None


def test_amdgpu_tells_it_in_files(tmp_path: Path) -> None:
    device = tmp_path / "sys/class/drm/card1/device"
    device.mkdir(parents=True)
    for name, value in (
        ("gpu_busy_percent", "37"),
        ("mem_info_vram_used", "1000"),
        ("mem_info_vram_total", "8000"),
    ):
        (device / name).write_text(value + "\n")
    assert read_amd_use(0, tmp_path) == GpuUse(37.0, 1000, 8000)
    assert read_amd_use(1, tmp_path) is None
