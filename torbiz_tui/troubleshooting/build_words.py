"""What is printed while packages are installed or the image is built, where it fails.

Many of these words would mean nothing elsewhere (`denied`, `EOF`): they are looked for only in the
last lines of that tool.
"""

from __future__ import annotations

from torbiz_tui.troubleshooting.symptom import Action, Place, Symptom

_BASE = frozenset({Place.BASE_IMAGE})
_BUILD = frozenset({Place.IMAGE_BUILD})
_PACKAGES = frozenset({Place.PACKAGES})

# In the order of looking: a certificate that is refused is also a request that failed.
_BASE_IMAGE = (
    Symptom(
        id="base_registry_unreachable",
        code="registry_unreachable",
        title="The base image cannot be downloaded.",
        patterns=(
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
            "\u2026certificate\u2026",
            "\u2026x509\u2026",
        ),
        cause="The registry of the base image cannot be reached.",
        remedy="Check the network and the engine's proxy settings, or set docker.base_image to an"
        " image with Python 3.11 that the engine has or can pull.",
        places=_BASE,
        source="docker, podman",
    ),
    Symptom(
        id="base_pull_limit",
        code="pull_limit",
        title="The base image cannot be downloaded.",
        patterns=("toomanyrequests", "rate limit"),
        cause="The registry lets nobody pull more from this address for now.",
        remedy="Wait, sign in with `docker login`, or set docker.base_image to a copy elsewhere.",
        places=_BASE,
        source="docker, podman",
    ),
    Symptom(
        id="no_base_image",
        title="The base image cannot be downloaded.",
        patterns=(
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
        cause="The base image is not there for this platform, or may not be pulled.",
        remedy="Check docker.base_image and docker.platform, or sign in with `docker login`.",
        places=_BASE,
        source="docker, podman",
    ),
)
_IMAGE_BUILD = (
    Symptom(
        id="build_disk_full",
        code="docker_disk_full",
        title="The disk is full.",
        patterns=("no space left on device", "os error 28", "disk quota exceeded"),
        cause="The engine's disk is full.",
        remedy="The build needs about 4 GB there: free some (`torbiz-tui clean --image` removes"
        " what is this program's), then try again; layers that are done are kept.",
        action=Action.FREE_DISK,
        places=_BUILD,
        source="the system, uv",
    ),
    Symptom(
        id="wrong_python",
        title="The base image has the wrong Python.",
        patterns=("the pinned packages need Python", "python3: not found"),
        cause="The base image does not have Python 3.11.",
        remedy="Set docker.base_image to an image with Python 3.11 and its venv module.",
        places=_BUILD,
        source="images/petals, sh",
    ),
    Symptom(
        id="no_venv",
        title="The base image's Python is incomplete.",
        patterns=(
            "ensurepip is not available",
            "No module named venv",
            "No module named ensurepip",
        ),
        cause="The base image's Python lacks the venv module.",
        remedy="Set docker.base_image to an image that has it (Debian: the package python3-venv).",
        places=_BUILD,
        source="Python",
    ),
    Symptom(
        id="build_certificate",
        code="certificate",
        title="The packages cannot be downloaded.",
        patterns=(
            "\u2026certificate\u2026",
            "\u2026UnknownIssuer\u2026",
            "\u2026self-signed\u2026",
            "\u2026self signed\u2026",
            "\u2026SSLError\u2026",
        ),
        cause="The package index shows a certificate that is not trusted.",
        remedy="Behind a company's proxy set petals.certificate (or SSL_CERT_FILE) to its bundle.",
        places=_BUILD,
        source="uv, pip",
    ),
    Symptom(
        id="index_login",
        title="The packages cannot be downloaded.",
        patterns=(
            "401\u2026unauthorized",
            "401\u2026forbidden",
            "403\u2026unauthorized",
            "403\u2026forbidden",
            "(401",
            "(403",
            "status code\u2026 401",
            "status code\u2026 403",
        ),
        cause="The package index refuses the name or the password.",
        remedy="Put them into the index's address (petals.index_url, or pip's index-url), or into"
        " ~/.netrc; the image does not keep them.",
        places=_BUILD,
        source="uv, pip",
    ),
    Symptom(
        id="build_github_unreachable",
        code="git_unreachable",
        title="Petals' main branch cannot be fetched.",
        patterns=("failed to fetch: https://github.com",),
        cause="github.com cannot be reached from the build, and PyPI has only Petals' release.",
        remedy="Check the network and the proxies (HTTPS_PROXY), or set petals.channel to release.",
        places=_BUILD,
        source="uv",
    ),
    Symptom(
        id="build_no_network",
        code="no_network",
        title="The packages cannot be downloaded.",
        patterns=(
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
            "\u2026proxyerror\u2026",
            "client error (Connect)",
        ),
        cause="The package index cannot be reached from the build.",
        remedy="Check the network and the proxies (HTTPS_PROXY), name another index"
        " (petals.index_url, petals.find_links), or put the packages into ~/.torbiz/wheelhouse.",
        places=_BUILD,
        source="uv, pip",
    ),
    Symptom(
        id="build_package_not_found",
        code="package_not_found",
        title="A package is missing.",
        patterns=(
            "no solution found",
            "no matching distribution",
            "was not found in the package registry",
            "no version of",
        ),
        cause="The package sources lack something for this platform.",
        remedy="Check petals.index_url, petals.find_links, docker.wheelhouse and docker.platform;"
        " pip's and uv's own settings count too.",
        places=_BUILD,
        source="uv, pip",
    ),
    Symptom(
        id="build_out_of_memory",
        code="out_of_memory",
        title="The engine ran out of memory.",
        patterns=("non-zero code: 137", "exit status 137", "exit code: 137"),
        cause="The step was killed, most likely because the engine's memory was full.",
        remedy="Give the engine more memory (Docker Desktop: Settings, Resources), then try again.",
        places=_BUILD,
        source="docker, podman",
    ),
)
_PACKAGES_WORDS = (
    Symptom(
        id="packages_disk_full",
        code="disk_full",
        title="The disk is full.",
        patterns=("No space left on device", "os error 28", "Disk quota exceeded"),
        cause="The folder of the venv, or that of the downloads, has no room left.",
        remedy="The stack needs about 1 GB for the venv and 0.5 GB for downloads: free some space,"
        " then retry.",
        action=Action.FREE_DISK,
        places=_PACKAGES,
        source="uv",
    ),
    Symptom(
        id="packages_certificate",
        code="certificate",
        title="The package index shows a certificate that is not trusted here.",
        patterns=(
            "\u2026certificate\u2026",
            "\u2026UnknownIssuer\u2026",
            "\u2026self-signed\u2026",
            "\u2026self signed\u2026",
        ),
        cause="Mostly a company's proxy shows its own.",
        remedy="Behind a company proxy set petals.certificate (or SSL_CERT_FILE) to its bundle.",
        places=_PACKAGES,
        source="uv",
    ),
    Symptom(
        id="packages_no_network",
        code="no_network",
        title="The package index cannot be reached.",
        patterns=(
            "error sending request",
            "dns error",
            "failed to lookup address",
            "tcp connect error",
            "Connection refused",
            "Network is unreachable",
            "operation timed out",
            "Failed to fetch",
            "client error (Connect)",
        ),
        cause="The network is down, or a proxy is in between.",
        remedy="Check the network and the proxy settings, or name another index"
        " (petals.index_url, petals.find_links; pip's and uv's own settings count too).",
        places=_PACKAGES,
        source="uv",
    ),
    Symptom(
        id="packages_not_found",
        code="package_not_found",
        title="The package sources do not hold what the stack needs.",
        patterns=(
            "No solution found",
            "was not found in the package registry",
            "no version of",
        ),
        cause="An index or a folder was named that lacks some of it, or not for this platform.",
        remedy="Check petals.index_url and petals.find_links, and pip's and uv's settings.",
        places=_PACKAGES,
        source="uv",
    ),
)

BUILD_WORDS = (*_BASE_IMAGE, *_IMAGE_BUILD, *_PACKAGES_WORDS)
