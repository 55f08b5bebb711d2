#!/bin/sh
# Make .venv and install aritmo there, with an extra where one is named: `sh scripts/setup.sh test`. A second word
# names another place than .venv.
# Does nothing when what pyproject.toml asks for was installed before.
set -eu
cd "$(dirname "$0")/.."
extra=${1:-}
venv=${2:-.venv}
stamp="$venv/.installed-${extra:-run}"
if [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ]; then exit 0; fi

fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

if [ ! -x "$venv/bin/pip" ]; then
    python=
    for candidate in python3 python3.13 python3.12 python3.11; do
        if fits "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "aritmo needs Python 3.11, 3.12 or 3.13, and none was found: install one (Debian, Ubuntu: apt-get install python3)" >&2
        exit 2
    fi
    # Debian and Ubuntu keep venv in a package of its own.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        as_root=
        if [ "$(id -u)" != 0 ]; then as_root=sudo; fi
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "installing python$version-venv, which this Python lacks"
        $as_root apt-get update -q && $as_root apt-get install -qy "python$version-venv" || {
            echo "could not install python$version-venv: install it by hand, then run this command again" >&2
            exit 2
        }
    fi
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

echo "installing aritmo${extra:+ for $extra} into $venv (the first time this fetches PyTorch)"
"$venv/bin/pip" install --quiet --disable-pip-version-check -e ".${extra:+[$extra]}"
touch "$stamp"
