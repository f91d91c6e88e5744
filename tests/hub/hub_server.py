"""A model hub on loopback: what huggingface.co answers, and all that can go wrong with it.

It serves folders under `/{id}/resolve/{revision}/{file}` with the headers of the real one, and
large files by a redirect to another host name, as from its storage. Used through HF_ENDPOINT.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

STORED_APART = (".safetensors", ".bin")
_PIECE = 16 * 1024
_WAIT_LIMIT_S = 60.0


@dataclass
class HubModel:
    """A model of the hub. Gated: only tokens of `accepted` open it; private: only those see it."""

    id: str
    folder: Path
    gated: bool = False
    private: bool = False
    accepted: frozenset[str] = frozenset()
    revisions: tuple[str, ...] = ("main",)

    @property
    def commit(self) -> str:
        """A name for the present contents, like that of a commit."""
        digest = hashlib.sha1(self.id.encode())
        for file in sorted(self.folder.iterdir()):
            digest.update(file.name.encode() + _etag(file).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class HubRequest:
    """What a client has asked for."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class Trouble:
    """What goes wrong; each is for the bodies of large files, unless said otherwise.

    `cut_after` bytes of a body the connection is closed, `cuts` times. `corrupted` counts, by file
    name, the bodies still to be sent with a wrong byte. At `pause_at` bytes a body waits for
    `HubServer.go_on`. `status` is the answer to everything.
    """

    cut_after: int = 0
    cuts: int = 0
    corrupted: Counter[str] = field(default_factory=Counter)
    bytes_per_s: float = 0.0
    pause_at: int = -1
    ignore_ranges: bool = False
    status: int = 0
    status_times: int = 1_000_000


class HubServer:
    """The server; `with HubServer() as hub:` runs it on a free port of loopback."""

    def __init__(self) -> None:
        self.models: dict[str, HubModel] = {}
        self.tokens: set[str] = {"hf_valid"}
        self.trouble = Trouble()
        self.requests: list[HubRequest] = []
        self.paused = threading.Event()
        self.go_on = threading.Event()
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def add(self, model: HubModel) -> HubModel:
        """Offer a model."""
        self.models[model.id] = model
        return model

    def bodies(self) -> list[str]:
        """The names of the large files that were sent, in order, also in part."""
        return [r.path.rsplit("/", 1)[1] for r in self.requests if r.path.startswith("/storage/")]

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering; harmless to repeat."""
        self.go_on.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@contextmanager
def running_hub(*models: HubModel) -> Iterator[HubServer]:
    """A hub with these models."""
    with HubServer() as hub:
        for model in models:
            hub.add(model)
        yield hub


def _etag(file: Path) -> str:
    data = file.read_bytes()
    if file.name.endswith(STORED_APART):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that are killed leave connections behind."""


class _RefusalError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests look at `requests` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server_hub
        authorization = self.headers.get("Authorization") or ""
        path = self.path.partition("?")[0]
        with hub.lock:
            hub.requests.append(
                HubRequest(self.command, path, self.headers.get("Range") or "", authorization)
            )
        try:
            self._refuse_all()
            if path.startswith("/storage/"):
                _, _, owner, name, _, file = path.split("/")
                self._send(hub.models[f"{owner}/{name}"].folder / file)
            elif path.startswith("/api/models/"):
                self._tell(self._model(path.removeprefix("/api/models/")))
            else:
                self._resolve(path)
        except _RefusalError as refusal:
            self._refuse(refusal)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _refuse_all(self) -> None:
        trouble = self.server_hub.trouble
        if trouble.status and trouble.status_times > 0:
            trouble.status_times -= 1
            raise _RefusalError(trouble.status)

    def _refuse(self, refusal: _RefusalError) -> None:
        self.send_response(refusal.status)
        if refusal.code:
            self.send_header("X-Error-Code", refusal.code)
        if str(refusal):
            self.send_header("X-Error-Message", str(refusal))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _model(self, model_id: str) -> HubModel:
        """The model, for whoever may see and open it."""
        hub = self.server_hub
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in hub.tokens:
            raise _RefusalError(401, "", "Invalid credentials in Authorization header")
        model = hub.models.get(model_id)
        if model is None or (model.private and token not in model.accepted):
            raise _RefusalError(404 if token else 401, "RepoNotFound", "Repository not found")
        if model.gated and token not in model.accepted:
            raise _RefusalError(
                403 if token else 401, "GatedRepo", f"Access to {model_id} is restricted"
            )
        return model

    def _tell(self, model: HubModel) -> None:
        files = [{"rfilename": file.name} for file in sorted(model.folder.iterdir())]
        body = json.dumps({"id": model.id, "sha": model.commit, "siblings": files}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _resolve(self, path: str) -> None:
        model_id, found, rest = path.lstrip("/").partition("/resolve/")
        if not found:
            raise _RefusalError(404)
        model = self._model(model_id)
        revision, _, name = rest.partition("/")
        commit = model.commit
        if revision not in (*model.revisions, commit):
            raise _RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file = model.folder / name
        if not file.is_file():
            raise _RefusalError(404, "EntryNotFound", "Entry not found")
        if not name.endswith(STORED_APART):
            self._send(file, commit)
            return
        self.send_response(302)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-ETag", f'"{_etag(file)}"')
        self.send_header("X-Linked-Size", str(file.stat().st_size))
        # Another host name, to which no client may pass the token on.
        port = self.server_hub.port
        self.send_header(
            "Location", f"http://localhost:{port}/storage/{model_id}/x/{name}?Signature=secret"
        )
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: Path, commit: str = "") -> None:
        data = file.read_bytes()
        etag = _etag(file)
        start = self._start(len(data))
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{etag}"')
        if commit:
            self.send_header("X-Repo-Commit", commit)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "GET":
            self._send_body(file.name, data, start)

    def _start(self, size: int) -> int:
        asked = self.headers.get("Range") or ""
        if not asked.startswith("bytes=") or self.server_hub.trouble.ignore_ranges:
            return 0
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        if start >= size:
            raise _RefusalError(416)
        return start

    def _send_body(self, name: str, data: bytes, start: int) -> None:
        trouble = self.server_hub.trouble
        large = name.endswith(STORED_APART)
        end = len(data)
        if large and trouble.corrupted[name] > 0:
            trouble.corrupted[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if large and trouble.cuts > 0 and end - start > trouble.cut_after:
            trouble.cuts -= 1
            end = start + trouble.cut_after
        sent = start
        while sent < end:
            if large and 0 <= trouble.pause_at <= sent and not self.server_hub.go_on.is_set():
                self.server_hub.paused.set()
                self.server_hub.go_on.wait(_WAIT_LIMIT_S)
            piece = data[sent : min(sent + _PIECE, end)]
            self.wfile.write(piece)
            sent += len(piece)
            if large and trouble.bytes_per_s:
                time.sleep(len(piece) / trouble.bytes_per_s)
        if end < len(data):
            self.close_connection = True
