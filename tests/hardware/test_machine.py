"""The machine, and what control groups leave of it, from files as kernels write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torbiz_tui.hardware import CgroupLimits, Gpu, Hardware, cgroup_limits, look, machine
from torbiz_tui.hardware.machine import _limited

MIB, GIB = 2**20, 2**30


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")


def files(root: Path, folder: str, **values: str) -> None:
    for name, text in values.items():
        write(root, **{f"sys/fs/cgroup/{folder}/{name.replace('__', '.')}": text})


def test_version_2_in_a_container(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/"})
    files(
        tmp_path,
        ".",
        cgroup__controllers="cpu memory",
        memory__max=str(4 * GIB),
        memory__current=str(1 * GIB),
        memory__stat=f"anon 1\nfile 2\ninactive_file {256 * MIB}\nactive_file 3",
        cpu__max="150000 100000",
    )
    assert cgroup_limits(tmp_path) == CgroupLimits(4 * GIB, 3 * GIB + 256 * MIB, 1.5)


def test_version_2_keeps_the_tightest_limit_of_all_groups_above(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/user.slice/user-1000.slice/app.scope"})
    files(tmp_path, ".", cgroup__controllers="cpu memory")
    files(tmp_path, "user.slice", memory__max="max", cpu__max="max 100000")
    files(
        tmp_path,
        "user.slice/user-1000.slice",
        memory__max=str(8 * GIB),
        memory__current=str(7 * GIB),
        cpu__max="200000 100000",
    )
    files(
        tmp_path,
        "user.slice/user-1000.slice/app.scope",
        memory__max=str(6 * GIB),
        memory__current=str(1 * GIB),
        cpu__max="max 100000",
    )
    # The group above has the larger limit, and less of it left.
    assert cgroup_limits(tmp_path) == CgroupLimits(6 * GIB, 1 * GIB, 2.0)


def test_version_1_in_a_container(tmp_path: Path) -> None:
    # Without a namespace of its own the path is that of the host, which is not mounted.
    write(
        tmp_path,
        **{"proc/self/cgroup": "4:memory:/docker/0123abc\n2:cpu,cpuacct:/docker/0123abc\n0::/"},
    )
    files(
        tmp_path,
        "memory",
        memory__limit_in_bytes=str(2 * GIB),
        memory__usage_in_bytes=str(512 * MIB),
        memory__stat=f"cache 5\nhierarchical_memory_limit {2 * GIB}\ntotal_inactive_file 1048576",
    )
    files(tmp_path, "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    assert cgroup_limits(tmp_path) == CgroupLimits(2 * GIB, 2 * GIB - 511 * MIB, 0.5)


def test_version_1_without_limits(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "4:memory:/a\n3:cpu:/a"})
    files(
        tmp_path,
        "memory/a",
        memory__limit_in_bytes="9223372036854771712",
        memory__usage_in_bytes="100",
        memory__stat="hierarchical_memory_limit 9223372036854771712",
    )
    files(tmp_path, "cpu/a", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert cgroup_limits(tmp_path) == CgroupLimits()


def test_version_1_knows_of_a_limit_that_is_not_mounted_here(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "4:memory:/"})
    files(
        tmp_path,
        "memory",
        memory__limit_in_bytes="9223372036854771712",
        memory__usage_in_bytes="0",
        memory__stat=f"hierarchical_memory_limit {GIB}",
    )
    assert cgroup_limits(tmp_path).memory == GIB


@pytest.mark.parametrize("text", ["", "0::/../../other", "nonsense", "0::", "4:memory"])
def test_where_nothing_is_mounted_nothing_is_limited(tmp_path: Path, text: str) -> None:
    write(tmp_path, **{"proc/self/cgroup": text})
    assert cgroup_limits(tmp_path) == CgroupLimits()
    assert cgroup_limits(tmp_path / "nowhere") == CgroupLimits()


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_content_is_survived(
    tmp_path_factory: pytest.TempPathFactory, limit: str, share: str
) -> None:
    root = tmp_path_factory.mktemp("cgroup")
    write(root, **{"proc/self/cgroup": "0::/"})
    folder = root / "sys/fs/cgroup"
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").touch()
    (folder / "memory.max").write_bytes(limit.encode("utf-8", "surrogatepass"))
    (folder / "cpu.max").write_bytes(share.encode("utf-8", "surrogatepass"))
    found = cgroup_limits(root)
    assert found.memory_left is None or found.memory_left >= 0


MACHINE = Hardware(
    cores=16,
    memory=64 * GIB,
    memory_available=50 * GIB,
    gpus=(Gpu("apple", "Apple M2 Max", None, None, unified=True),),
)


def test_a_control_group_leaves_less_of_the_machine() -> None:
    left = _limited(MACHINE, CgroupLimits(8 * GIB, 6 * GIB, 0.5))
    assert (left.cores, left.memory, left.memory_available) == (1, 8 * GIB, 6 * GIB)
    assert left.memory_limited
    assert left.gpus[0].memory_free == 6 * GIB
    assert left.sentence() == (
        "1 core, 8 GiB of memory (limited by its control group), Apple M2 Max"
    )


def test_a_limit_above_what_there_is_changes_nothing() -> None:
    left = _limited(MACHINE, CgroupLimits(128 * GIB, 100 * GIB, 64.0))
    assert (left.cores, left.memory, left.memory_available) == (16, 64 * GIB, 50 * GIB)
    assert not left.memory_limited
    assert left.sentence() == "16 cores, 64 GiB of memory, Apple M2 Max"


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_gpus", lambda environ: ([], ["a driver hangs."]))
    here = look(tmp_path / "not" / "there")
    assert here.cores >= 1
    assert 0 < here.memory_available <= here.memory
    assert here.disk_free is not None
    assert here.gpu == ""
    assert here.problems == ("a driver hangs.",)
    assert look().disk_free is None
