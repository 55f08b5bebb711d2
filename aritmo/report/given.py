"""What a page is written on: folders of runs and experiments, and files of verdicts. Nothing here needs torch."""

from collections.abc import Sequence
from pathlib import Path

from aritmo.config import read_yaml
from aritmo.files import check_name
from aritmo.report.page import Run, named, write_page
from aritmo.report.parts import Part, read_part, read_verdicts, with_verdicts
from aritmo.report.words import verdict_line


def parts_of(run: Path) -> list[Path]:
    """Return the folders of a run's experiments, in the order of the run; the folder itself where it is one."""
    if (run / "run.yaml").is_file():
        return [run / name for name in _named_in(run / "run.yaml")]
    if (run / "config.yaml").is_file():
        return [run]
    raise ValueError(f"{run} is no run: it holds neither run.yaml nor config.yaml; give the folder of one")


def _named_in(path: Path) -> list[str]:
    try:
        return [check_name(name, str(path)) for name in read_yaml(path)["parts"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): begin another run") from error


def report_on(given: Sequence[Path], out: Path | None) -> tuple[Path, list[str]]:
    """Write the page on what is given, side by side where it is several; return it and the verdict's lines.

    ``given`` holds folders of runs or of experiments. A file of verdicts joins the folder before it, as the
    experiment of its task and style; one before any folder stands by itself. Without ``out`` the page goes into
    the one folder as ``report.html``, or beside the one file.
    Raises ValueError where something is none of these, is given twice, or would need ``out``.
    """
    runs: list[tuple[Path, list[Part]]] = []
    for path in given:
        if path.is_dir():
            runs.append((path, [read_part(folder) for folder in parts_of(path)]))
        elif not path.is_file():
            raise ValueError(f"{path} is not there: give the folder of a run, or a file that «judge --out» wrote")
        elif runs and runs[-1][0].is_dir():
            _join(runs[-1][1], path)
        else:
            runs.append((path, [read_verdicts(path)]))
    names = _names([path for path, _ in runs])
    if out is None and len(runs) > 1:
        raise ValueError("several runs have no folder in common: give --out with the page to write")
    first = runs[0][0]
    page = out or (first / "report.html" if first.is_dir() else first.with_suffix(".html"))
    sides = named([Run(name, parts) for name, (_, parts) in zip(names, runs, strict=True)])
    return write_page(sides, page), [verdict_line(part) for side in sides for part in side.parts]


def _join(parts: list[Part], file: Path) -> None:
    """Add a file of verdicts to the experiment of its task and style, or as one more."""
    found = read_verdicts(file)
    for place, part in enumerate(parts):
        if part.name == found.name:
            parts[place] = with_verdicts(part, [file])
            return
    parts.append(found)


def _names(paths: Sequence[Path]) -> list[str]:
    """Return short names that tell paths apart: the last of each, with what is above it where that is needed."""
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        twice = next(path for path, place in zip(paths, whole, strict=True) if whole.count(place) > 1)
        raise ValueError(f"{twice} is given twice: name each run once")
    names = [path.stem if path.is_file() else path.name for path in whole]
    for depth in range(2, max(len(path.parts) for path in whole) + 1):
        if len(set(names)) == len(names):
            break
        names = ["/".join(path.parts[-depth:]) for path in whole]
    return names
