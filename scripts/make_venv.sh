#!/bin/sh
# Make a virtual environment: scripts/make_venv.sh PYTHON FOLDER
# Where Debian's Python lacks venv, it is installed if that needs no password.
set -eu
python=$1
folder=$2

if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed, and none was found. Install it, or say where it is: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; $python is $("$python" --version 2>&1). Try: make PYTHON=/path/to/python3" >&2
    exit 1
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ]; then
        sudo=""
    elif sudo -n true 2>/dev/null; then
        sudo="sudo -n"
    else
        echo "$python has no module venv. Install it: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends "python$version-venv"
fi

"$python" -m venv "$folder"
