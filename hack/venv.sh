#!/bin/sh
# Makes .venv: Python 3.11+, the locked dependencies, and this project itself, editable; and
# compiles what of the chunker is C.
#
# Does nothing when .venv already matches requirements.lock. On Debian, as root or with sudo,
# it installs the venv module and a C compiler where they are missing; elsewhere it says how.
set -eu
cd "$(dirname "$0")/.."
uv_version=0.13.9

python=
for candidate in python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "M0 needs Python 3.11 or newer; none was found on PATH." >&2
    echo "On Debian 12 or newer: apt-get install python3 python3-venv" >&2
    exit 1
fi

# install WHAT PACKAGE...: by Debian's package manager, or say what to do.
install() {
    what=$1
    shift
    sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    if command -v apt-get >/dev/null && { [ -z "$sudo" ] || $sudo true 2>/dev/null; }; then
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    else
        echo "$what is missing. Install it: sudo apt-get install $*" >&2
        exit 1
    fi
}

native=chunker-job/m0_chunker/media/ts/transport
if [ ! "$native.so" -nt "$native.c" ] || [ ! "$native.so" -nt chunker-job/bin/native.sh ]; then
    command -v "${CC:-cc}" >/dev/null || install "A C compiler" gcc libc6-dev
    sh chunker-job/bin/native.sh
fi

want=$(cat requirements.lock pyproject.toml hack/venv.sh | "$python" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [ "$(cat .venv/.m0-stamp 2>/dev/null || true)" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

echo "── Python environment in .venv (first time: about half a minute)"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install "Python's venv module" \
        "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
"$python" -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
.venv/bin/uv pip install --quiet --require-hashes -r requirements.lock
.venv/bin/uv pip install --quiet --no-deps -e .
echo "$want" >.venv/.m0-stamp
