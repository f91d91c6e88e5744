"""One file from the hub: what it is, and its bytes, resumed after a cut and verified.

huggingface_hub 0.17 starts a cut download anew, tells nobody of its progress, and never looks at
what it got; its addresses, headers and the layout of its cache are used here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from huggingface_hub import hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers

from hub_errors import DISK_FULL_REMEDY, DownloadError, endpoint, refusal, unreachable

CONNECT_TIMEOUT_S = 10.0
# The hub's storage may be silent for a while before the first byte of a large file.
READ_TIMEOUT_S = 30.0
LONGEST_DELAY_S = 30.0
# Small, because a piece that is cut is lost, and a slow network should still be seen moving.
PIECE_BYTES = 64 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class HubFile:
    """A file of a model as the hub describes it; `etag` is the SHA-256 of a large one, and of
    others what git calls them by.
    """

    name: str
    commit: str
    etag: str
    size: int


class _CorruptedError(Exception):
    """The bytes are not those that the hub has."""


class _CutError(Exception):
    """The network failed; the text says how, without addresses, which may hold signatures."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class HubTransfer:
    """Asks the hub about one model.

    `patience_s`: for how long it goes on trying while no byte comes. `on_wait(reason, seconds)` is
    called before each pause. The token is sent to the hub alone and named nowhere.
    """

    def __init__(
        self,
        model: str,
        token: str | None,
        patience_s: float,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self.model = model
        self._headers = build_hf_headers(token=token) | {"Accept-Encoding": "identity"}
        self._patience_s = patience_s
        self._on_wait = on_wait
        self._session = requests.Session()

    def describe(self, name: str, revision: str) -> HubFile:
        """What the hub says of a file. Raises DownloadError."""
        file: HubFile = self._patiently(lambda: self._describe(name, revision))
        return file

    def fetch(self, file: HubFile, partial: Path, on_bytes: Callable[[int], None]) -> None:
        """Complete `partial` to the whole, verified file; `on_bytes` gets how much is there.

        A file that turns out corrupted is fetched once more from its beginning. Raises
        DownloadError; what is there is kept.
        """
        for again in (False, True):
            try:
                self._fetch(file, partial, on_bytes)
                return
            except _CorruptedError:
                partial.unlink(missing_ok=True)
                if not again:
                    self._on_wait(f"{file.name} was corrupted on its way, it is fetched again", 0.0)
            except OSError as error:
                raise self._disk_error(error, partial) from error
        raise DownloadError(
            "download_corrupted",
            f"{file.name} of {self.model} arrived corrupted, twice.",
            why="What came has another checksum than the hub tells.",
            remedy="A proxy or a mirror (HF_ENDPOINT) may change files; try another network.",
        )

    def _disk_error(self, error: OSError, partial: Path) -> DownloadError:
        if error.errno in _FULL:
            return DownloadError(
                "disk_full",
                f"The disk is full, so {self.model} was not downloaded whole.",
                why=f"No space left on device for {partial.parent}.",
                remedy=DISK_FULL_REMEDY,
            )
        return DownloadError(
            "cache_not_writable",
            f"The cache of models cannot be written ({partial.parent}).",
            why=f"{error.strerror}.",
            remedy="Mend its permissions, then start again.",
        )

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask again after each failure of the network, for as long as patience lasts."""
        started, delay = time.monotonic(), 1.0
        while True:
            try:
                return ask()
            except _CutError as error:
                self._wait(error, started, delay)
                delay *= 2

    def _wait(self, error: _CutError, started: float, delay: float) -> None:
        delay = min(max(delay, error.wait_s), LONGEST_DELAY_S)
        left = self._patience_s - (time.monotonic() - started)
        if left <= 0:
            raise unreachable(self.model, str(error)) from error
        delay = min(delay, left)
        self._on_wait(str(error), delay)
        time.sleep(delay)

    def _describe(self, name: str, revision: str) -> HubFile:
        url = hf_hub_url(self.model, name, revision=revision, endpoint=endpoint())
        response = self._request("HEAD", url, self._headers)
        with response:
            # A renamed model is answered by a redirect within the hub.
            for _ in range(5):
                target = response.headers.get("Location", "")
                if not (300 <= response.status_code < 400 and target.startswith("/")):
                    break
                response = self._request("HEAD", endpoint() + target, self._headers)
            headers = response.headers
            etag = headers.get("X-Linked-ETag") or headers.get("ETag") or ""
            size = headers.get("X-Linked-Size") or headers.get("Content-Length") or ""
            commit = headers.get("X-Repo-Commit") or ""
        etag = etag.removeprefix("W/").strip('"')
        if not (re.fullmatch(r"[\w.-]{1,200}", etag) and re.fullmatch(r"[\w.-]{1,200}", commit)):
            raise DownloadError(
                "hub_unusable",
                f"{endpoint()} does not answer like a model hub.",
                remedy="Check HF_ENDPOINT and the proxies.",
            )
        return HubFile(name, commit, etag, int(size) if size.isdigit() else 0)

    def _request(self, method: str, url: str, headers: dict[str, str]) -> Any:
        """Send a request; any answer that is no success is raised."""
        try:
            response = self._session.request(
                method,
                url,
                headers=headers,
                stream=True,
                allow_redirects=method == "GET",
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
        except requests.RequestException as error:
            raise _CutError(_reason(error)) from None
        status = response.status_code
        if status < 400 or status == 416:
            return response
        response.close()
        token_sent = any(name.lower() == "authorization" for name in headers)
        # The storage refuses an address that has expired; the hub's next one is a fresh one.
        if response.history:
            raise _CutError(f"the hub's storage answered {status}")
        refused = refusal(self.model, status, response.headers, token_sent=token_sent)
        if refused is not None:
            raise refused
        raise _CutError(f"the hub answered {status}", _retry_after(response.headers))

    def _fetch(self, file: HubFile, partial: Path, on_bytes: Callable[[int], None]) -> None:
        started, delay = time.monotonic(), 1.0
        while True:
            before = _size(partial)
            try:
                self._fetch_some(file, partial, on_bytes)
                return
            except _CutError as error:
                if _size(partial) > before:
                    started, delay = time.monotonic(), 1.0
                self._wait(error, started, delay)
                delay *= 2

    def _fetch_some(self, file: HubFile, partial: Path, on_bytes: Callable[[int], None]) -> None:
        have = _size(partial)
        if have > file.size:
            raise _CorruptedError
        checksum = _checksum(file)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if have < file.size or not have:
                url = hf_hub_url(self.model, file.name, revision=file.commit, endpoint=endpoint())
                headers = dict(self._headers)
                if have:
                    headers["Range"] = f"bytes={have}-"
                with self._request("GET", url, headers) as response:
                    if have and not _goes_on_at(response, have):
                        have = 0
                        os.ftruncate(descriptor, 0)
                    _hash_beginning(descriptor, have, checksum)
                    on_bytes(have)
                    if response.status_code != 416:
                        _copy(response, descriptor, have, file.size, checksum, on_bytes)
            else:
                _hash_beginning(descriptor, have, checksum)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if _size(partial) != file.size or (checksum and checksum.hexdigest() != file.etag):
            raise _CorruptedError
        on_bytes(file.size)


def _copy(
    response: Any,
    descriptor: int,
    have: int,
    size: int,
    checksum: Any,
    on_bytes: Callable[[int], None],
) -> None:
    # A body that ends early is noticed below; so what did come of its last piece is kept.
    response.raw.enforce_content_length = False
    try:
        for piece in response.iter_content(PIECE_BYTES):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
            if checksum:
                checksum.update(piece)
            have += len(piece)
            if have > size:
                raise _CorruptedError
            on_bytes(have)
    except requests.RequestException as error:
        raise _CutError(_reason(error)) from None
    if have < size:
        raise _CutError("the connection was closed before the end of the file")


def _hash_beginning(descriptor: int, size: int, checksum: Any) -> None:
    """Read what is there already, and stay at its end."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    while size > 0 and (piece := os.read(descriptor, min(PIECE_BYTES, size))):
        size -= len(piece)
        if checksum:
            checksum.update(piece)


def _checksum(file: HubFile) -> Any:
    """What computes the checksum that is the file's ETag; None where it is no checksum."""
    if re.fullmatch(r"[0-9a-f]{64}", file.etag):
        return hashlib.sha256()
    if re.fullmatch(r"[0-9a-f]{40}", file.etag):
        return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    return None


def _goes_on_at(response: requests.Response, have: int) -> bool:
    """Whether the answer is the rest of the file; servers may send all of it instead."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
        f"bytes {have}-"
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _retry_after(headers: Any) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"\d{1,4}", text) else 0.0


def _reason(error: Exception) -> str:
    """The failure in words; the error's own text holds the address, with its signature."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "the hub's certificate is not accepted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let through"
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in text:
        return "the hub did not answer in time"
    if "NameResolutionError" in text or "Name or service" in text or "getaddrinfo" in text:
        return "the hub's name is not known here"
    if "refused" in text:
        return "the connection was refused"
    return "the connection was cut"
