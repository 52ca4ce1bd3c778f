#!/bin/sh
# Makes a virtual environment with pip in it: make-venv.sh FOLDER. PYTHON names the interpreter.
# Some distributions leave `ensurepip` out of Python: then a pip of the system's helps, or the package is installed.
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    found=$("$python" --version 2>/dev/null || echo "not there")
    echo "Reactor needs Python 3.11 or later; '$python' is $found." >&2
    echo "Install one, or name it: make run PYTHON=/path/to/python3.11" >&2
    exit 1
}
if "$python" -m venv "$venv" >/dev/null 2>&1; then exit 0; fi
rm -rf "$venv"

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if "$python" -m virtualenv -q "$venv" 2>/dev/null; then exit 0; fi
if "$python" -m pip --version >/dev/null 2>&1 && "$python" -m venv --without-pip "$venv" 2>/dev/null; then
    if "$python" -m pip --python "$venv/bin/python" install -q pip; then exit 0; fi
    rm -rf "$venv"
fi
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$as_root" ] || sudo -n true 2>/dev/null; }; then
    echo "This Python has no pip: installing python$version-venv ..."
    $as_root apt-get update -qq || true
    $as_root apt-get install -y -qq "python$version-venv" >/dev/null 2>&1 ||
        $as_root apt-get install -y -qq python3-venv >/dev/null || true
    if "$python" -m venv "$venv"; then exit 0; fi
    rm -rf "$venv"
fi
echo "This Python cannot make a virtual environment: its modules venv and ensurepip are missing." >&2
echo "Install them and try again (Debian, Ubuntu: sudo apt install python$version-venv)." >&2
exit 1
