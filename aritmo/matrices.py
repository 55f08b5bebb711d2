"""A user's own matrices, judged and shared out over the splits."""

from dataclasses import dataclass, field
from pathlib import Path

from aritmo.numbers.matrixfiles import read_matrices
from aritmo.numbers.randomness import SPLITS, Split, split_of
from aritmo.numbers.squares import check_square
from aritmo.tasks.squares import Square, Squares


@dataclass
class Matrices:
    """Squares by split, and one sentence for each matrix that was left out, with its place and the reason."""

    by_split: dict[Split, list[Square]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    left_out: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        return sum(map(len, self.by_split.values()))


def read_squares(path: Path, keep_wrong: bool) -> Matrices:
    """Read every matrix of a file; leave out the repeated and, unless they are to be kept, the wrong ones.

    Squares are numbered by their place in the file. Raises ValueError where the file cannot be read or no
    matrix is kept.
    """
    task, matrices = Squares(), Matrices()
    seen: set[tuple[int, ...]] = set()
    for number, (place, cells) in enumerate(read_matrices(path), 1):
        check = check_square(cells)
        square = Square(number, tuple(cells.ravel().tolist()))
        if square.order < 3:
            matrices.left_out.append(f"{place}: order {square.order}, squares begin at order 3")
        elif square.cells in seen:
            matrices.left_out.append(f"{place}: the same as a matrix before it")
        elif not check.valid and not keep_wrong:
            matrices.left_out.append(f"{place}: {'; '.join(check.defects[:3])}")
        else:
            seen.add(square.cells)
            matrices.by_split[split_of(task.name, task.family(square))].append(square)
    if not matrices.kept:
        first = f", the first because of {matrices.left_out[0]}" if matrices.left_out else ""
        raise ValueError(
            f"{path}: no matrix is left to train on{first}; mend them, or keep them with --keep-wrong"
        )
    return matrices
