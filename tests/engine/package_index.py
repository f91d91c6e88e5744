"""Tiny packages under the pinned names, and a package index that serves them."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from torbiz_tui.environments.docker.build_context import requirements, uv_version

# How long what is stuck holds up a request, unless the index is closed before.
HELD_UP_S = 240.0


def make_packages(folder: Path) -> Path:
    """A folder with a wheel for everything that the image's build installs; only uv is real."""
    folder.mkdir(parents=True)
    for line in requirements().splitlines():
        name, equals, version = line.partition("#")[0].partition(";")[0].strip().partition("==")
        if equals:
            make_wheel(folder, name, version + ("+cpu" if name == "torch" else ""))
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary", ":all:", "--dest", str(folder), f"uv=={uv_version()}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stdout
    return folder


def make_wheel(folder: Path, name: str, version: str, *, filler: bytes = b"") -> Path:
    """A wheel with an empty module."""
    module = re.sub(r"[-.]+", "_", name)
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if filler:
        files[f"{module}/filler.bin"] = filler
    record = "".join(f"{path},sha256={_sha256(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
    return wheel


def _sha256(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


class PackageIndex:
    """A package index on loopback that wants a name and a password.

    What `lacking` names is not there; a request for what `stuck` names is never answered, and sets
    `asked`.
    """

    def __init__(self, folder: Path, login: str) -> None:
        self.lacking: set[str] = set()
        self.stuck: set[str] = set()
        self.asked = threading.Event()
        self.refused = 0
        self._folder = folder
        self._let_go = threading.Event()
        expected = "Basic " + base64.b64encode(login.encode()).decode("ascii")
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Authorization") != expected:
                    index.refused += 1
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                    self.end_headers()
                    return
                index.answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            # uv asks for all at once; who finds the queue full tries again after a second, then two.
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self.login = login
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address with the name and the password in it."""
        return f"http://{self.login}@127.0.0.1:{self.port}/simple"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve a page of links, or a file."""
        parts = request.path.strip("/").split("/")
        if parts[0] == "files":
            self._send(request, (self._folder / parts[1]).read_bytes(), "application/zip")
            return
        name = parts[-1]
        if name in self.stuck:
            self.asked.set()
            self._let_go.wait(HELD_UP_S)
        found = [] if name in self.lacking else list(self._files(name))
        if not found:
            request.send_response(404)
            request.end_headers()
            return
        links = "".join(f'<a href="/files/{file}">{file}</a>\n' for file in found)
        self._send(
            request, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html"
        )

    def _files(self, name: str) -> Iterable[str]:
        for file in sorted(self._folder.iterdir()):
            if re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower() == name:
                yield file.name

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, kind: str) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        """Stop serving."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
