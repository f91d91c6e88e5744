"""What goes into the image's build, what comes out of it as text, and the pins behind it."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.engine.package_index import make_wheel
from torbiz_tui.config import Config
from torbiz_tui.environments.docker.build_context import (
    BuildContext,
    inputs_digest,
    requirements,
    uv_version,
)
from torbiz_tui.environments.docker.build_failures import build_failure
from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.environments.docker.build_sources import build_sources
from torbiz_tui.environments.docker.wheelhouse import Wanted, local_packages, read_pins
from torbiz_tui.errors import TorbizError
from torbiz_tui.paths import Paths, requirements_file

SOURCE_ONLY = ("prefetch-generator", "python-baseconv", "varint")
"""Pins that their authors have never published as wheels; all of them pure Python."""


def sources_of(
    tmp_path: Path, environ: dict[str, str], **petals: object
) -> tuple[dict[str, str], str]:
    """The build's arguments, and the text that install.sh gets from the hidden one."""
    config = replace(Config(), petals=replace(Config().petals, **petals))  # type: ignore[arg-type]
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, **environ}
    arguments = dict(build_sources(Paths(tmp_path), config, environ).arguments)
    packed = arguments.get("FTP_PROXY", "torbiz:").removeprefix("torbiz:")
    return arguments, base64.b64decode(packed).decode()


def test_addresses_travel_only_in_the_argument_that_engines_hide(tmp_path: Path) -> None:
    arguments, text = sources_of(
        tmp_path,
        {"HTTPS_PROXY": "http://me:pw@proxy:3128", "UV_INDEX_INNER_PASSWORD": "pw2"},
        index_url="https://me:it's@index.example/simple",
        extra_index_urls=("https://more.example/simple",),
        find_links=("https://links.example/torch.html",),
    )
    assert set(arguments) == {"HTTPS_PROXY", "https_proxy", "FTP_PROXY"}
    shell = subprocess.run(
        ["sh", "-c", f'{text}\nprintf "%s\n" "$INDEX_URL" "$EXTRA_INDEX_URLS" "$FIND_LINKS"; env'],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert shell.stdout.splitlines()[:3] == [
        "https://me:it's@index.example/simple",
        "https://more.example/simple",
        "https://links.example/torch.html",
    ]
    assert "UV_INDEX_INNER_PASSWORD=pw2" in shell.stdout


def test_no_source_means_no_argument(tmp_path: Path) -> None:
    assert sources_of(tmp_path, {}) == ({}, "")


def test_folders_of_this_machine_are_not_addresses(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "simple").mkdir()
    config = replace(
        Config(),
        petals=replace(
            Config().petals,
            find_links=(str(tmp_path / "wheels"), "https://links.example/"),
            index_url=(tmp_path / "simple").as_uri(),
        ),
    )
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    sources = build_sources(Paths(tmp_path), config, environ)
    assert sources.folders[-1] == tmp_path / "wheels"
    assert sources.indexes == (tmp_path / "simple",)
    text = base64.b64decode(sources.arguments["FTP_PROXY"].removeprefix("torbiz:")).decode()
    assert text == "FIND_LINKS=https://links.example/"


def test_a_login_from_netrc_goes_with_the_address(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine index.example login me password p@ss\n")
    (tmp_path / ".netrc").chmod(0o600)
    _, text = sources_of(tmp_path, {}, index_url="https://index.example/simple")
    assert text == "INDEX_URL=https://me:p%40ss@index.example/simple"


def test_pips_and_uvs_own_settings_count(tmp_path: Path) -> None:
    _, text = sources_of(
        tmp_path,
        {
            "PIP_INDEX_URL": "https://pip.example/simple",
            "PIP_TRUSTED_HOST": "pip.example",
            "UV_FIND_LINKS": "https://a.example/,/nowhere/here",
        },
    )
    assert "INDEX_URL=https://pip.example/simple" in text
    assert "INSECURE_HOSTS=pip.example" in text
    assert "export UV_FIND_LINKS=https://a.example/" in text


def test_an_address_of_this_machine_is_noticed(tmp_path: Path) -> None:
    config = replace(
        Config(), petals=replace(Config().petals, index_url="http://a:b@localhost:8000/simple")
    )
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
    assert build_sources(Paths(tmp_path), config, environ).loopback == "localhost"
    environ["HTTPS_PROXY"] = "http://127.0.0.1:3128"
    assert build_sources(Paths(tmp_path), Config(), environ).loopback == "127.0.0.1"
    environ["HTTPS_PROXY"] = "http://proxy.example:3128"
    assert build_sources(Paths(tmp_path), Config(), environ).loopback == ""


def test_a_missing_certificate_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TorbizError) as caught:
        sources_of(tmp_path, {"SSL_CERT_FILE": str(tmp_path / "none.pem")})
    assert caught.value.code == "no_certificate_file"


@pytest.mark.parametrize(
    ("file", "platform", "torch", "taken"),
    [
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "linux/amd64", "cpu", True),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "linux/amd64", "cuda", False),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", "linux/arm64", "cpu", False),
        ("torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl", "linux/amd64", "cpu", False),
        ("torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl", "linux/amd64", "cuda", True),
        ("torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "linux/amd64", "cpu", False),
        ("nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl", "linux/amd64", "cuda", True),
        ("nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl", "linux/amd64", "cpu", False),
        ("tokenizers-0.14.1-cp311-cp311-musllinux_1_1_x86_64.whl", "linux/amd64", "cpu", False),
        ("cryptography-50.0.2-cp39-abi3-manylinux_2_34_aarch64.whl", "linux/arm64", "cpu", True),
        ("cryptography-50.0.2-cp314-abi3-manylinux_2_34_aarch64.whl", "linux/arm64", "cpu", False),
        ("PyYAML-6.0.3-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "linux/amd64", "cpu", True),
        ("six-1.17.0-py2.py3-none-any.whl", "linux/arm64", "cpu", True),
        ("six-1.16.0-py2.py3-none-any.whl", "linux/amd64", "cpu", False),
        ("varint-1.0.2.tar.gz", "linux/arm64", "cpu", True),
        ("varint-9.9.9.tar.gz", "linux/arm64", "cpu", False),
        ("stranger-1.0-py3-none-any.whl", "linux/amd64", "cpu", False),
        ("README.md", "linux/amd64", "cpu", False),
    ],
)  # fmt: skip
def test_which_packages_go_along(file: str, platform: str, torch: str, taken: bool) -> None:
    pins = read_pins(requirements(), {"uv": uv_version()})
    assert Wanted(pins, platform, torch).takes(file) is taken


def test_an_index_in_a_folder_is_read(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    wheel = make_wheel(files, "six", "1.17.0")
    page = tmp_path / "simple" / "six" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="../../files/{wheel.name}#sha256=00">{wheel.name}</a>')
    wanted = Wanted(read_pins(requirements(), {}), "linux/amd64", "cpu")
    assert local_packages([], [tmp_path / "simple"], wanted) == {wheel.name: wheel}


def test_the_context_is_the_same_bytes_for_the_same_files(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "six", "1.17.0", filler=b"x" * 3_000_000)
    certificate = tmp_path / "company.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----\n")
    context = BuildContext.of({wheel.name: wheel}, certificate)
    first = b"".join(context.stream())
    os.utime(wheel, (1, 1))
    assert b"".join(BuildContext.of({wheel.name: wheel}, certificate).stream()) == first
    assert max(len(piece) for piece in BuildContext.of({wheel.name: wheel}, None).stream()) <= 2**20
    assert context.sent > context.size
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert set(archive.getnames()) >= {
            "Dockerfile",
            "install.sh",
            "requirements.txt",
            "certificates/configured.pem",
            f"wheelhouse/{wheel.name}",
        }
        member = archive.extractfile(f"wheelhouse/{wheel.name}")
        assert member is not None
        assert member.read() == wheel.read_bytes()


def test_the_digest_names_what_decides_about_the_content() -> None:
    given = {"torch": "cpu", "base_image": "python:3.11-slim", "platform": "linux/amd64"}
    digest = inputs_digest(**given)
    assert re.fullmatch(r"[0-9a-f]{16}", digest)
    assert digest == inputs_digest(**given)
    for key, other in (("torch", "cuda"), ("base_image", "debian"), ("platform", "linux/arm64")):
        assert inputs_digest(**{**given, key: other}) != digest
    assert inputs_digest(**given, channel="release") == digest
    assert inputs_digest(**given, channel="main") != digest


def test_the_pins_of_the_main_branch_need_no_git_in_the_image(tmp_path: Path) -> None:
    release, main = requirements().splitlines(), requirements("main").splitlines()
    assert "petals==2.2.0.post1" in release
    [petals] = [line for line in main if line.startswith("petals")]
    archive = (
        r"petals @ https://github\.com/bigscience-workshop/petals/archive/[0-9a-f]{40}\.tar\.gz"
    )
    assert re.fullmatch(archive, petals)
    assert "git+" not in "".join(main)
    torch = [line for line in release if line.startswith("torch==")]
    assert [line for line in main if line.startswith("torch==")] == torch
    # No wheel of the release's Petals is sent along.
    assert "petals" not in read_pins("\n".join(main), {})
    pins = tmp_path / "image-requirements.txt"
    pins.write_text("\n".join(main))
    context = BuildContext.of({}, None, pins)
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.stream()))) as packed:
        member = packed.extractfile("requirements.txt")
        assert member is not None
        assert member.read() == pins.read_bytes()


def test_progress_of_dockers_builder() -> None:
    output = BuildOutput()
    assert output.fraction is None
    output.feed({"status": "Pulling from library/python", "id": "3.11-slim"})
    output.feed({"status": "Downloading", "id": "a", "progressDetail": {"current": 20_000_000}})
    output.feed({"status": "Downloading", "id": "b", "progressDetail": {"current": 9_000_000}})
    output.feed({"status": "Downloading", "id": "a", "progressDetail": {"current": 30_000_000}})
    assert output.sentence() == "39 MB received"
    output.feed({"stream": "Step 1/9 : ARG BASE_IMAGE=x\nStep 2/9 : FROM ${BASE_IMAGE} AS build\n"})
    output.feed({"stream": " ---> 0123456789ab\n"})
    output.feed({"stream": "Step 4/9 : RUN sh /build/install.sh torch"})
    assert output.feed({"stream": "\n"}) == ["Step 4/9 : RUN sh /build/install.sh torch"]
    output.feed({"stream": "\x1b[91mDownloading\x1b[0m\x1b[91m torch (260"})
    output.feed({"stream": ".5MiB)\n\x1b[0m"})
    assert "312 MB" not in output.sentence()
    output.feed({"stream": " Downloaded torch\n"})
    assert output.sentence() == "Step 4/9: RUN sh /build/install.sh torch, 312 MB received"
    assert output.fraction == pytest.approx(3 / 9)
    assert output.last_lines == ["Downloading torch (260.5MiB)", " Downloaded torch"]
    assert output.stage_image == ""
    output.feed({"stream": " ---> abcdefabcdef\nStep 8/9 : FROM ${BASE_IMAGE}\n"})
    assert output.stage_image == "abcdefabcdef"


def test_progress_of_podmans_builder() -> None:
    output = BuildOutput()
    output.feed({"stream": "[1/2] STEP 1/14: FROM base AS build\n"})
    output.feed({"stream": "STEP 13/14: RUN sh /build/install.sh petals\n"})
    assert output.sentence() == "Step 13/14: RUN sh /build/install.sh petals"


@pytest.mark.parametrize(
    ("step", "lines", "error", "code"),
    [
        ("FROM x", [], "pull access denied for x, repository does not exist", "no_base_image"),
        ("FROM x", [], "manifest for x:1 not found: manifest unknown", "no_base_image"),
        ("FROM x", [], "dial tcp: lookup registry-1.docker.io: no such host", "registry_unreachable"),
        ("FROM x", [], "toomanyrequests: You have reached your pull rate limit", "pull_limit"),
        ("FROM x", [], "x509: certificate signed by unknown authority", "registry_unreachable"),
        ("COPY a b", [], "write /x: no space left on device", "docker_disk_full"),
        ("RUN a", ["OSError: [Errno 28] No space left on device"], "returned 1", "docker_disk_full"),
        ("RUN a", ["  invalid peer certificate: UnknownIssuer"], "returned 1", "certificate"),
        ("RUN a", ["  cause: Failed to fetch: https://github.com/x/y.tar.gz"], "1", "git_unreachable"),
        ("RUN a", ["Temporary failure in name resolution"], "returned 1", "no_network"),
        ("RUN a", ["  dns error: failed to lookup address"], "returned 1", "no_network"),
        ("RUN a", ["ProxyError('Cannot connect to proxy.'"], "returned 1", "no_network"),
        ("RUN a", ["HTTP status client error (401 Unauthorized) for url"], "returned 1", "index_login"),
        ("RUN a", ["ERROR: No matching distribution found for uv"], "returned 1", "package_not_found"),
        ("RUN a", ["  No solution found when resolving"], "returned 1", "package_not_found"),
        ("RUN a", [], "The command 'a' returned a non-zero code: 137", "out_of_memory"),
        ("RUN a", ["something else"], "returned a non-zero code: 3", "build_failed"),
    ],
)  # fmt: skip
def test_failures_are_told_apart(step: str, lines: list[str], error: str, code: str) -> None:
    output = BuildOutput()
    output.feed({"stream": f"Step 4/9 : {step}\n" + "".join(f"{line}\n" for line in lines)})
    output.feed({"errorDetail": {"message": error}, "error": error})
    failure = build_failure(output)
    assert failure.code == code
    assert failure.what == f"The build of the image failed at step 4 of 9: {step}."
    assert failure.details == (*lines, error)
    assert failure.remedy


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_pin_has_a_wheel_for_both_processors(machine: str, tmp_path: Path) -> None:
    """A dry run of uv's resolver for the image's platform, where no compiler is.

    torch itself is resolved as PyPI has it, a CUDA build on both processors; the image takes the
    CPU build of the same version from PyTorch's index. Three pins exist as source only, and need
    none but setuptools.
    """
    resolved = subprocess.run(
        [
            find_uv_bin(),
            *("pip", "install", "--dry-run", "--no-deps", "--no-config"),
            *("--target", str(tmp_path / "none"), "--python-version", "3.11"),
            *("--python-platform", f"{machine}-manylinux_2_28"),
            *("--only-binary", ":all:"),
            *(option for name in SOURCE_ONLY for option in ("--no-binary", name)),
            *("--requirement", str(requirements_file())),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert resolved.returncode == 0, resolved.stderr
    planned = set(re.findall(r"^ \+ (\S+?)==", resolved.stderr, re.MULTILINE))
    assert {"torch", "hivemind", "tokenizers", "numpy", *SOURCE_ONLY} <= planned
    assert len(planned) > 50


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_cuda_build_of_torch_fits_the_pins(machine: str, tmp_path: Path) -> None:
    pin = re.search(r"^torch==\S+", requirements_file().read_text("utf-8"), re.MULTILINE)
    assert pin is not None
    resolved = subprocess.run(
        [
            find_uv_bin(),
            *("pip", "install", "--dry-run", "--no-config", "--only-binary", ":all:"),
            *("--target", str(tmp_path / "none"), "--python-version", "3.11"),
            *("--python-platform", f"{machine}-manylinux_2_28"),
            *("--constraint", str(requirements_file()), pin[0]),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert resolved.returncode == 0, resolved.stderr
    assert "nvidia-cudnn" in resolved.stderr
