#!/bin/sh
# Installs the Petals stack into /opt/petals, in the build stage of the image.
#
# Usage: install.sh uv|torch|petals, in this order. The environment says what to take from
# where: INDEX_URL, EXTRA_INDEX_URLS, FIND_LINKS and INSECURE_HOSTS (separated by spaces),
# UV_VERSION, TORCH (cpu or cuda). What /build/wheelhouse holds is taken first; when it holds all,
# no network is used.
set -eu
# The classic builder paints what comes on stderr.
exec 2>&1

build=/build
tools=/opt/uv
stack=/opt/petals
site=$stack/lib/python3.11/site-packages
wheels=$build/wheelhouse
pins=$build/requirements.txt
trusted=$build/trusted.pem

# Engines keep this argument out of every history, so an address with a password may come in it:
# "torbiz:", then the variables above as shell text in base64. Nothing here speaks FTP.
case ${FTP_PROXY:-} in
torbiz:*) eval "$(printf '%s' "${FTP_PROXY#torbiz:}" | base64 -d)" ;;
esac
unset FTP_PROXY ftp_proxy

export UV_NO_CACHE=1 UV_NO_CONFIG=1 UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_PROGRESS_BAR=off PIP_NO_INPUT=1

if [ -n "${INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="$INDEX_URL"; fi
if [ -n "${EXTRA_INDEX_URLS:-}" ]; then
    # As pip does: the best version of all indexes, not the first index that knows the name.
    export UV_INDEX="$EXTRA_INDEX_URLS" UV_INDEX_STRATEGY=unsafe-best-match
fi
if [ -n "${INSECURE_HOSTS:-}" ]; then export UV_INSECURE_HOST="$INSECURE_HOSTS"; fi

sources=
for link in ${FIND_LINKS:-}; do sources="$sources --find-links $link"; done
if [ -n "${NO_INDEX:-}" ]; then sources="$sources --no-index"; fi

uv() {
    SSL_CERT_FILE=$trusted "$tools/bin/uv" "$@"
}

from_wheelhouse() {
    uv pip install --python "$stack/bin/python" --offline --no-index --find-links "$wheels" \
        --build-constraints "$pins" "$@"
}

from_all() {
    # shellcheck disable=SC2086  # one word an option
    uv pip install --python "$stack/bin/python" --find-links "$wheels" $sources \
        --build-constraints "$pins" "$@"
}

# Takes all from the wheelhouse when it holds all, else also from the indexes.
install() {
    if from_wheelhouse --dry-run "$@" >/dev/null 2>&1; then
        echo "Taking from the wheelhouse alone: $*"
        from_wheelhouse "$@"
    else
        from_all "$@"
    fi
}

available() {
    from_wheelhouse --dry-run --no-deps "$1" >/dev/null 2>&1 ||
        from_all --dry-run --no-deps "$1" >/dev/null 2>&1
}

# A venv with the pip that Python brings along. It is called once: to be unpacked is enough, while
# `venv` would install it, which means to compile it.
make_tools() {
    pip=$(python3 -c 'import ensurepip, glob, sysconfig
folders = [sysconfig.get_config_var("WHEEL_PKG_DIR"), ensurepip.__path__[0] + "/_bundled"]
print(*[file for folder in folders if folder for file in glob.glob(folder + "/pip-*.whl")][:1])
' 2>/dev/null || true)
    if [ -n "$pip" ]; then
        python3 -m venv --without-pip "$tools"
        python3 -m zipfile -e "$pip" "$tools/lib/python3.11/site-packages"
    else
        python3 -m venv "$tools"
    fi
}

install_uv() {
    version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$version" != 3.11 ]; then
        echo "The base image has Python $version; the pinned packages need Python 3.11."
        exit 1
    fi
    make_tools
    : > "$trusted"
    for file in "$tools"/lib/python3.*/site-packages/pip/_vendor/certifi/cacert.pem \
        /etc/ssl/certs/ca-certificates.crt "$build"/certificates/*.pem "$build"/certificates/*.crt; do
        if [ -f "$file" ]; then cat "$file" >> "$trusted"; echo >> "$trusted"; fi
    done
    index="${INDEX_URL:-${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-}}}"
    if [ -n "$index" ]; then export PIP_INDEX_URL="$index"; fi
    if [ -n "${EXTRA_INDEX_URLS:-}" ]; then export PIP_EXTRA_INDEX_URL="$EXTRA_INDEX_URLS"; fi
    if [ -n "${INSECURE_HOSTS:-}" ]; then export PIP_TRUSTED_HOST="$INSECURE_HOSTS"; fi
    from=$sources
    for file in "$wheels/uv-$UV_VERSION"-*.whl; do
        if [ -f "$file" ]; then from=--no-index; fi
    done
    # shellcheck disable=SC2086
    PIP_CERT=$trusted "$tools/bin/python3" -B -m pip install --find-links "$wheels" $from "uv==$UV_VERSION"
    uv venv --no-project --python "$(command -v python3)" "$stack"
}

install_torch() {
    torch=$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' "$pins")
    case $TORCH in
    cuda)
        # The pins are complete but for the CUDA libraries, which only torch's own requirements name.
        install --constraint "$pins" "$torch"
        ;;
    cpu)
        # PyPI's builds for Linux are CUDA builds, with gigabytes of libraries, on arm64 as well.
        if available "$torch+cpu"; then
            install --no-deps "$torch+cpu"
        else
            echo "$torch+cpu is not in the sources given; taking it from PyTorch's own index."
            install --no-deps --torch-backend cpu "$torch"
        fi
        ;;
    *)
        echo "TORCH is cpu or cuda, not $TORCH."
        exit 1
        ;;
    esac
    cd "$site"
    # For building against torch and for testing it; torch_shm_manager is what runs.
    find torch/bin -mindepth 1 ! -name torch_shm_manager -delete 2>/dev/null || true
    rm -rf torch/test torch/include torch/share/cmake
    find torch -name '*.a' -delete
    compile torch
}

install_petals() {
    install --no-deps -r "$pins"
    cd "$site"
    for package in mpmath networkx sympy; do
        if [ -d "$package" ]; then
            find "$package" -type d -name tests -prune -exec rm -rf {} +
        fi
    done
    # Not folder by folder: each would start processes of its own.
    compile -x '^[.]/torch/' .
}

# The container's file system is read-only: what is not compiled here is compiled at each start.
# A package may hold templates that are no Python; those fail, and nothing imports them.
compile() {
    "$stack/bin/python" -m compileall -q -q -j 0 --invalidation-mode unchecked-hash "$@" || true
}

case ${1:-} in
uv) install_uv ;;
torch) install_torch ;;
petals) install_petals ;;
*)
    echo "Usage: install.sh uv|torch|petals"
    exit 2
    ;;
esac
