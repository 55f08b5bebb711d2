"""The other Pythons that aritmo runs on: found on this machine, and given what the parts without torch need."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
_NEEDS = ("numpy", "numba", "pyarrow", "pydantic", "safetensors", "tokenizers", "pyyaml")
FOLDER = Path(__file__).parents[1] / ".venv-trust"
"""Where their environments are kept, about 300 MB each."""


def python_for(version: str) -> Path | str:
    """Return a Python of a version that can build corpora and ask shipped models, or why there is none.

    What it needs is installed once, from the package index, into an environment of its own.
    """
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    kept = FOLDER / version / "bin" / "python"
    if not kept.is_file():
        found = _found(version)
        if found is None:
            return f"Python {version} is not on this machine: install it to compare"
        try:
            _install(found, kept)
        except subprocess.CalledProcessError as error:
            shutil.rmtree(FOLDER / version, ignore_errors=True)
            return f"Python {version}: {(error.stderr or error.stdout)[-300:]}"
    return kept


def _found(version: str) -> Path | None:
    """Return the Python of a version on the path, or among those that pyenv keeps."""
    if on_path := shutil.which(f"python{version}"):
        answer = subprocess.run([on_path, "-c", "import venv, ensurepip"], capture_output=True, check=False)
        if answer.returncode == 0:
            return Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return next(iter(sorted(root.glob(f"versions/{version}.*/bin/python"))), None)


def _install(python: Path, kept: Path) -> None:
    environment = kept.parents[1]
    for command in (
        [str(python), "-m", "venv", str(environment)],
        [str(kept), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_NEEDS],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)
