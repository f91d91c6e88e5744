"""GPUs, from what drivers' programs have printed on real machines."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from torbiz_tui.hardware import Gpu, gpus
from torbiz_tui.hardware.gpus import (
    find_gpus,
    names,
    read_amd_sysfs,
    read_nvidia_smi,
    read_rocm_smi,
    read_system_profiler,
)
from torbiz_tui.hardware.programs import ProbeError, output_of

MIB, GIB = 2**20, 2**30
TWO_CARDS = """\
0, GPU-2f1c8a4e-0000-0000-0000-000000000001, NVIDIA GeForce RTX 4090, 24564, 20000
1, GPU-9b7d3c11-0000-0000-0000-000000000002, NVIDIA GeForce RTX 3090, 24576, 24259
"""
# Of a DGX Spark, whose GPU has no memory of its own.
SHARED = "0, GPU-4d2f6e50-0000-0000-0000-000000000003, NVIDIA GB10, [N/A], [N/A]\n"
ROCM = """\
WARNING: AMD GPU device(s) is/are in a low-power state. Check power control/runtime_status

{"card0": {"GPU use (%)": "0", "VRAM Total Memory (B)": "8573157376", \
"VRAM Total Used Memory (B)": "1069268992", "Card Series": "AMD Radeon RX 6600 XT", \
"Card Model": "0x73ff", "Card Vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", \
"GFX Version": "gfx1032"}}
"""
MAC = {
    "SPDisplaysDataType": [
        {
            "_name": "Apple M2 Max",
            "sppci_model": "Apple M2 Max",
            "sppci_cores": "30",
            "spdisplays_vendor": "sppci_vendor_Apple",
        }
    ]
}
INTEL_MAC = {
    "SPDisplaysDataType": [
        {
            "sppci_model": "Intel UHD Graphics 630",
            "spdisplays_vram_shared": "1536 MB",
            "spdisplays_vendor": "Intel",
        },
        {
            "sppci_model": "AMD Radeon Pro 5500M",
            "spdisplays_vram": "8 GB",
            "spdisplays_vendor": "sppci_vendor_amd",
        },
    ]
}


def test_nvidia_cards_with_their_memory() -> None:
    first, second = read_nvidia_smi(TWO_CARDS)
    assert first == Gpu("nvidia", "NVIDIA GeForce RTX 4090", 24564 * MIB, 20000 * MIB, 0)
    assert (second.index, second.memory_free) == (1, 24259 * MIB)


def test_a_gpu_that_shares_the_machines_memory() -> None:
    (gpu,) = read_nvidia_smi(SHARED)
    assert gpu == Gpu("nvidia", "NVIDIA GB10", None, None, 0, unified=True)


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        (None, ["RTX 4090", "RTX 3090"]),
        ("1", ["RTX 3090"]),
        ("1,0", ["RTX 3090", "RTX 4090"]),
        ("GPU-9b7d", ["RTX 3090"]),
        ("", []),
        ("-1", []),
        ("0,7,1", ["RTX 4090"]),
        ("GPU-", []),
    ],
)
def test_only_the_cards_that_a_program_may_see(visible: str | None, seen: list[str]) -> None:
    found = read_nvidia_smi(TWO_CARDS, visible)
    assert [gpu.name.removeprefix("NVIDIA GeForce ") for gpu in found] == seen
    assert [gpu.index for gpu in found] == list(range(len(seen)))


@pytest.mark.parametrize(
    "output", ["", "No devices were found\n", "0, x\n", "NVIDIA-SMI has failed because\n", "\x00"]
)
def test_what_is_no_table_holds_no_cards(output: str) -> None:
    assert read_nvidia_smi(output) == []


def test_amd_cards_of_rocm_smi() -> None:
    (gpu,) = read_rocm_smi(ROCM)
    assert gpu == Gpu("amd", "AMD Radeon RX 6600 XT", 8573157376, 8573157376 - 1069268992, 0)
    with pytest.raises(ProbeError, match="no JSON"):
        read_rocm_smi("ERROR:root:Driver not initialized (amdgpu not found in modules)\n")


def test_amd_cards_of_the_kernel(tmp_path: Path) -> None:
    def card(name: str, **files: str) -> None:
        device = tmp_path / "sys/class/drm" / name / "device"
        device.mkdir(parents=True)
        for file, text in files.items():
            (device / file).write_text(f"{text}\n")

    amd = {"vendor": "0x1002", "device": "0x744c"}
    card("card10", **amd, mem_info_vram_total="17163091968", mem_info_vram_used="163091968")
    card("card2", **amd, mem_info_vram_total="25753026560", product_name="Radeon RX 7900 XTX")
    card("card0", vendor="0x8086", device="0x56a0")
    card("card2-DP-1", **amd, mem_info_vram_total="1")
    first, second = read_amd_sysfs(tmp_path)
    assert first == Gpu("amd", "Radeon RX 7900 XTX", 25753026560, None, 0)
    assert second == Gpu("amd", "AMD GPU 0x744c", 17163091968, 17_000_000_000, 1)


def test_gpus_of_macs() -> None:
    assert read_system_profiler(json.dumps(MAC)) == [
        Gpu("apple", "Apple M2 Max", None, None, 0, unified=True)
    ]
    # The graphics in an Intel processor compute no blocks.
    assert read_system_profiler(json.dumps(INTEL_MAC)) == [
        Gpu("amd", "AMD Radeon Pro 5500M", 8 * GIB, None, 0)
    ]
    assert read_system_profiler("[]") == read_system_profiler("{}") == []
    with pytest.raises(ProbeError, match="no JSON"):
        read_system_profiler("")


def test_cards_in_words() -> None:
    card = Gpu("nvidia", "NVIDIA A100", 80 * GIB, 80 * GIB)
    assert names([]) == "no GPU"
    assert names([card, card]) == "2 x NVIDIA A100 (80 GiB)"
    assert names([card, Gpu("apple", "Apple M1", 8 * GIB, GIB, unified=True)]) == (
        "NVIDIA A100 (80 GiB), Apple M1"
    )


def program(folder: Path, name: str, script: str) -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere other programs are asked")
def test_the_drivers_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "nvidia-smi", f"cat <<'END'\n{TWO_CARDS}END")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found, problems = find_gpus({"CUDA_VISIBLE_DEVICES": "1"})
    assert [gpu.name for gpu in found if gpu.vendor == "nvidia"] == ["NVIDIA GeForce RTX 3090"]
    assert problems == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere other programs are asked")
def test_a_driver_that_hangs_or_fails_is_said_and_waited_for_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "NVIDIA_TIMEOUT_S", 0.2)
    monkeypatch.setattr(gpus, "nvidia_gpu", lambda: "NVIDIA H100")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program(tmp_path, "nvidia-smi", "sleep 60")
    began = time.monotonic()
    found, problems = find_gpus({})
    assert time.monotonic() - began < 10
    assert Gpu("nvidia", "NVIDIA H100", None, None) in found
    assert problems == ["nvidia-smi did not answer within 0.2 s."]
    monkeypatch.setattr(gpus, "NVIDIA_TIMEOUT_S", 30.0)
    program(tmp_path, "nvidia-smi", "exit 9")
    assert find_gpus({})[1] == ["nvidia-smi failed (exit code 9)."]
    (tmp_path / "nvidia-smi").unlink()
    assert find_gpus({})[1] == [
        "nvidia-smi was not found, so the memory of NVIDIA H100 is unknown."
    ]
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ([], [])


def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="smi cannot be run: No such file"):
        output_of([str(tmp_path / "smi")], 1)
