"""The image next to one that a person would write: time to build, size by layer, time to import.

    python benchmarks/image.py [--base IMAGE] [--network MODE] [--rounds 1]

Both are built in one run, on the same base, from the same pins and the same package sources, on
the engine that the configuration finds. The naive image is a Dockerfile of one stage: a venv,
`pip install` of torch's CPU build, then `pip install --no-deps` of the pins (plain
`pip install petals` does not give a working stack any more, and brings torch's CUDA build). "From
nothing" takes no layer of an earlier build and no package cache; the base image is there already.
With several rounds the two take turns, and the quickest build of each counts.
Nothing of it is left on the engine afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from torbiz_tui.config import Config, load_config  # noqa: E402
from torbiz_tui.environments.docker.build_context import requirements  # noqa: E402
from torbiz_tui.environments.docker.build_sources import build_sources  # noqa: E402
from torbiz_tui.environments.docker.engine import EngineFinder  # noqa: E402
from torbiz_tui.environments.docker.image import PetalsImage  # noqa: E402
from torbiz_tui.paths import Paths, runner_scripts  # noqa: E402
from torbiz_tui.setup.step import Reporter  # noqa: E402

RUNS_OF_IMPORT = 3
NAIVE = """\
FROM {base}
COPY company.pem requirements.txt /
ENV PIP_CERT=/company.pem
RUN python3 -m venv /opt/petals
ENV PATH=/opt/petals/bin:$PATH HOME=/root
RUN pip install {sources} {torch}
RUN pip install --no-deps {sources} -r /requirements.txt
RUN mkdir -p /app/scripts /root/.cache/huggingface /root/.torbiz/logs && chmod 755 /root
"""


@dataclass
class Measured:
    """One image: seconds of its builds, its layers as the engine tells them, seconds to import."""

    nothing_s: float
    warm_s: float
    layers: list[tuple[int, str]]
    import_s: float

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(size for size, _ in self.layers)


async def build_ours(config: Config, paths: Paths, *, no_cache: bool) -> float:
    """Seconds of a build as Setup makes it."""
    finder = EngineFinder(config.docker)
    began = time.perf_counter()
    try:
        engine = await finder.engine()
        await PetalsImage(paths, config).build(
            engine,
            Reporter(progress=lambda _fraction, text: show(text), output=lambda _line: None),
            no_cache=no_cache,
        )
    finally:
        finder.close()
        show("")
    return time.perf_counter() - began


def show(text: str) -> None:
    """The one line of progress."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def build_naive(
    client: docker.DockerClient, tag: str, context: bytes, network: str, *, no_cache: bool
) -> float:
    """Seconds of a build of the naive image."""
    began = time.perf_counter()
    last: list[str] = []
    for item in client.api.build(
        fileobj=io.BytesIO(context),
        custom_context=True,
        decode=True,
        tag=tag,
        rm=True,
        forcerm=True,
        nocache=no_cache,
        network_mode=network or None,
    ):
        last = [*last, str(item.get("stream", item.get("error", ""))).strip()][-20:]
        show(f"naive: {last[-1]}")
        if "error" in item:
            raise SystemExit("The naive image cannot be built:\n" + "\n".join(last))
    show("")
    return time.perf_counter() - began


def naive_context(base: str, sources: str, certificate: Path | None) -> bytes:
    """Dockerfile, pins and certificates as a tar archive."""
    torch = next(line for line in requirements().splitlines() if line.startswith("torch=="))
    file = NAIVE.format(base=base, sources=sources, torch=torch + "+cpu")
    if certificate is None:
        file = file.replace("COPY company.pem ", "COPY ").replace("ENV PIP_CERT=/company.pem\n", "")
    parts = {"Dockerfile": file.encode(), "requirements.txt": requirements().encode()}
    if certificate is not None:
        parts["company.pem"] = certificate.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


@contextlib.contextmanager
def served(folders: tuple[Path, ...]) -> Iterator[list[str]]:
    """Local folders of wheels as pages on loopback: copying them in would only add a layer."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    servers = [
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        for folder in folders
        if any(folder.glob("*.whl"))
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield [f"http://127.0.0.1:{server.server_address[1]}/" for server in servers]
    finally:
        for server in servers:
            server.shutdown()


def layers(client: docker.DockerClient, tag: str) -> list[tuple[int, str]]:
    """Size and origin of every layer that holds something, from the base up."""
    api: Any = client.api
    found = [(int(entry["Size"]), str(entry["CreatedBy"])) for entry in api.history(tag)]
    return [
        (size, text.replace("/bin/sh -c ", "").replace("#(nop) ", "").strip() or "the base image")
        for size, text in reversed(found)
        if size > 100_000
    ]


def import_s(client: docker.DockerClient, tag: str, environment: dict[str, str]) -> float:
    """Seconds that a read-only container takes to import the whole stack, the best of some."""
    best = float("inf")
    for _ in range(RUNS_OF_IMPORT):
        began = time.perf_counter()
        client.containers.run(
            tag,
            ["python3", "/app/scripts/check_stack.py"],
            remove=True,
            read_only=True,
            network_mode="none",
            tmpfs={"/tmp": ""},
            environment={"PYTHONDONTWRITEBYTECODE": "1", **environment},
            volumes={str(runner_scripts()): {"bind": "/app/scripts", "mode": "ro"}},
        )
        best = min(best, time.perf_counter() - began)
    return best


def remove(client: docker.DockerClient, *names: str) -> None:
    """Remove images by name or id; one that is not there is no failure."""
    for name in names:
        with contextlib.suppress(docker.errors.APIError):
            client.images.remove(name)


def stage_of(paths: Paths) -> str:
    """The last image of the stage that installs, as the build remembers it."""
    import json

    return str(json.loads((paths.run / "image-build.json").read_text("utf-8"))["stage"])


def print_table(ours: Measured, naive: Measured, stage_bytes: int, plain_s: float) -> None:
    """The result."""
    rows = [
        ("build from nothing", ours.nothing_s, naive.nothing_s, "s"),
        ("build, warm cache", ours.warm_s, naive.warm_s, "s"),
        ("size", ours.size / 1e6, naive.size / 1e6, "MB"),
        ("import of the whole stack", ours.import_s, naive.import_s, "s"),
    ]
    print(f"{'':28}{'this image':>12}{'naive':>12}{'ratio':>8}")
    for title, left, right, unit in rows:
        values = "".join(
            f"{value:9.{1 if unit == 's' else 0}f} {unit:2}" for value in (left, right)
        )
        # A cache that has everything answers in no time; a ratio of that says nothing.
        ratio = f"{left / right:8.2f}" if right > 1 else ""
        print(f"{title:28}{values}{ratio}")
    print(f"\nWithout its compiled modules, this image would import in {plain_s:.2f} s.")
    print(
        f"Layers kept on the engine for the next build: {stage_bytes / 1e6:.0f} MB beside the base."
    )
    for title, image in (("this image", ours), ("naive", naive)):
        print(f"\nLayers of {title}:")
        for size, text in image.layers:
            print(f"  {size / 1e6:7.0f} MB  {text[:80]}")


def main() -> int:
    """Build both, measure, print the table, remove both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default=Config().docker.base_image)
    parser.add_argument("--network", default="", help="network of both builds, such as host")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    name = f"torbiz-benchmark-{uuid4().hex[:8]}"
    ours_tag, naive_tag = f"{name}:ours", f"{name}:naive"
    with tempfile.TemporaryDirectory() as home:
        paths = Paths(Path(home))
        paths.ensure()
        given = {
            "docker.image": ours_tag,
            "docker.base_image": options.base,
            "docker.build_network": options.network,
        }
        config = load_config(paths.config_file, given, {}).config
        found = build_sources(paths, config, os.environ)
        finder = EngineFinder(config.docker)
        engine = asyncio.run(finder.find())
        client = docker.DockerClient(base_url=engine.endpoint.address, timeout=600)
        with served(found.folders) as pages:
            sources = (
                " ".join(f"--trusted-host 127.0.0.1 --find-links {page}" for page in pages)
                or "--extra-index-url https://download.pytorch.org/whl/cpu"
            )
            context = naive_context(options.base, sources, found.certificate)
            # The pages are on this machine's loopback.
            network = "host" if pages else options.network
            try:
                ours_s, naive_s = [], []
                for _ in range(options.rounds):
                    ours_s.append(asyncio.run(build_ours(config, paths, no_cache=True)))
                    naive_s.append(build_naive(client, naive_tag, context, network, no_cache=True))
                ours = Measured(
                    min(ours_s),
                    asyncio.run(build_ours(config, paths, no_cache=False)),
                    layers(client, ours_tag),
                    import_s(client, ours_tag, {}),
                )
                naive = Measured(
                    min(naive_s),
                    build_naive(client, naive_tag, context, network, no_cache=False),
                    layers(client, naive_tag),
                    import_s(client, naive_tag, {}),
                )
                # A folder for compiled modules that is not there hides those that are.
                plain_s = import_s(client, ours_tag, {"PYTHONPYCACHEPREFIX": "/nowhere"})
                stage = stage_of(paths)
                base_bytes = client.images.get(options.base).attrs["Size"]
                stage_bytes = client.images.get(stage).attrs["Size"] - base_bytes
                print_table(ours, naive, stage_bytes, plain_s)
            finally:
                remove(client, ours_tag, naive_tag)
                with contextlib.suppress(OSError):
                    remove(client, stage_of(paths))
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
