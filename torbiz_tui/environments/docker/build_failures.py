"""Why a build of the image failed, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torbiz_tui.environments.docker.build_output import BuildOutput
from torbiz_tui.errors import TorbizError
from torbiz_tui.logs.redaction import redact

_SHOWN_LINES = 8
_NETWORK_REMEDY = (
    "Check the network and the proxies (HTTPS_PROXY), name another index (petals.index_url,"
    " petals.find_links), or put the packages into ~/.torbiz/wheelhouse."
)


@dataclass(frozen=True)
class _Cause:
    code: str
    printed: re.Pattern[str]
    why: str
    remedy: str


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# Those of the base image are looked for in the engine's own words alone.
_BASE_CAUSES = (
    _Cause(
        "registry_unreachable",
        _pattern(
            "no such host",
            "i/o timeout",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "TLS handshake timeout",
            "request canceled",
            "server misbehaving",
            "pinging container registry",
            "EOF$",
            "service unavailable",
            "certificate",
            "x509",
        ),
        "The registry of the base image cannot be reached.",
        "Check the network and the engine's proxy settings, or set docker.base_image to an image"
        " with Python 3.11 that the engine has or can pull.",
    ),
    _Cause(
        "pull_limit",
        _pattern("toomanyrequests", "rate limit"),
        "The registry lets nobody pull more from this address for now.",
        "Wait, sign in with `docker login`, or set docker.base_image to a copy elsewhere.",
    ),
    _Cause(
        "no_base_image",
        _pattern(
            "pull access denied",
            "manifest unknown",
            "not found",
            "does not exist",
            "no matching manifest",
            "unauthorized",
            "denied",
            "invalid reference format",
            "short-name",
            "no image with reference",
        ),
        "The base image is not there for this platform, or may not be pulled.",
        "Check docker.base_image and docker.platform, or sign in with `docker login`.",
    ),
)
# In the order of looking: a certificate that is refused is also a request that failed.
_CAUSES = (
    _Cause(
        "docker_disk_full",
        _pattern("no space left on device", "os error 28", "disk quota exceeded"),
        "The engine's disk is full.",
        "The build needs about 4 GB there: free some (`torbiz-tui clean --image` removes what is"
        " this program's), then try again; layers that are done are kept.",
    ),
    _Cause(
        "wrong_python",
        _pattern(r"the pinned packages need Python", "python3: not found"),
        "The base image does not have Python 3.11.",
        "Set docker.base_image to an image with Python 3.11 and its venv module.",
    ),
    _Cause(
        "no_venv",
        _pattern("ensurepip is not available", "No module named (venv|ensurepip)"),
        "The base image's Python lacks the venv module.",
        "Set docker.base_image to an image that has it (Debian: the package python3-venv).",
    ),
    _Cause(
        "certificate",
        _pattern("certificate", "UnknownIssuer", r"self.signed", "SSLError"),
        "The package index shows a certificate that is not trusted.",
        "Behind a company's proxy set petals.certificate (or SSL_CERT_FILE) to its bundle.",
    ),
    _Cause(
        "index_login",
        _pattern(r"\b40[13]\b.*(unauthorized|forbidden)", r"\((401|403)", "status code.* 40[13]"),
        "The package index refuses the name or the password.",
        "Put them into the index's address (petals.index_url, or pip's index-url), or into"
        " ~/.netrc; the image does not keep them.",
    ),
    _Cause(
        "no_network",
        _pattern(
            "error sending request",
            "dns error",
            "failed to lookup address",
            "name resolution",
            "name or service not known",
            "tcp connect error",
            "failed to establish a new connection",
            "connection refused",
            "network is unreachable",
            "timed out",
            "failed to fetch",
            "cannot connect to proxy",
            "proxyerror",
            r"client error \(Connect\)",
        ),
        "The package index cannot be reached from the build.",
        _NETWORK_REMEDY,
    ),
    _Cause(
        "package_not_found",
        _pattern(
            "no solution found",
            "no matching distribution",
            "was not found in the package registry",
            "no version of",
        ),
        "The package sources lack something for this platform.",
        "Check petals.index_url, petals.find_links, docker.wheelhouse and docker.platform; pip's"
        " and uv's own settings count too.",
    ),
    _Cause(
        "out_of_memory",
        _pattern(r"non-zero code: 137", r"exit status 137", "exit code: 137"),
        "The step was killed, most likely because the engine's memory was full.",
        "Give the engine more memory (Docker Desktop: Settings, Resources), then try again.",
    ),
)


def build_failure(output: BuildOutput) -> TorbizError:
    """The error that names the instruction, the cause as far as it is known, and the last lines."""
    what = "The build of the image failed"
    if output.steps:
        what += f" at step {output.step} of {output.steps}: {redact(output.instruction)}"
    lines = tuple(redact(line) for line in output.last_lines if line.strip())
    said = redact(output.error)
    cause = _find(output, lines)
    return TorbizError(
        f"{what}{'' if what.endswith('.') else '.'}",
        why=cause.why if cause is not None else said,
        remedy=cause.remedy
        if cause is not None
        else "setup.log has the whole output; try again, or mend what it names.",
        code=cause.code if cause is not None else "build_failed",
        details=(*lines[-_SHOWN_LINES:], *([said] if said else [])),
    )


def _find(output: BuildOutput, lines: Sequence[str]) -> _Cause | None:
    text = "\n".join((*lines, output.error))
    for cause in _CAUSES[:1]:
        if cause.printed.search(text):
            return cause
    # A pull is refused before the engine has begun a step, or at FROM.
    if not output.steps or output.instruction.upper().startswith(("FROM", "ARG BASE_IMAGE")):
        return next((one for one in _BASE_CAUSES if one.printed.search(output.error)), None)
    return next((one for one in _CAUSES if one.printed.search(text)), None)
