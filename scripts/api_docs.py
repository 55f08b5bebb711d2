"""Write pages on every module of aritmo from its docstrings, with pdoc: `python scripts/api_docs.py build/api`.

A module that needs what is not installed here (a GPU's Triton, an extra) is named and left out.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import aritmo

try:
    import pdoc
except ImportError:
    sys.exit("the pages need pdoc, which is not installed: run «pip install 'aritmo[docs]'», or make api")


def left_out() -> list[str]:
    """Return the modules that cannot be imported here. ``__main__`` is none: it would run the command."""
    names = [
        module.name for module in pkgutil.walk_packages(aritmo.__path__, "aritmo.", onerror=lambda name: None)
    ]
    missing: list[str] = []
    for name in names:
        if name.endswith("__main__") or name.startswith(tuple(f"{gone}." for gone in missing)):
            continue
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"left out: {name} ({error})")
            missing.append(name)
    return missing


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    # The package itself is left alone: some of its names are there only with an extra.
    rooms = [f"aritmo.{room.name}" for room in pkgutil.iter_modules(aritmo.__path__) if room.name != "__main__"]
    missing = left_out()
    pdoc.pdoc(*rooms, *(f"!{name}" for name in missing), output_directory=out)
    print(f"pages: {out / 'index.html'}")


if __name__ == "__main__":
    main()
