"""Matrix files: every form reads alike, and whatever is wrong is one sentence with its place."""

import json
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.numbers.matrixfiles import printable, read_matrices, write_matrices

A = [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
FLAT_A = [cell for row in A for cell in row]
B = [[2, 3], [5, 7]]
ROWS = "17 89 71\n113 59 5\n47 29 101\n"
FLAT = "17 89 71 113 59 5 47 29 101\n"


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def to(content: str | bytes, name: str = "squares.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to


def cells_of(path: Path | str) -> list[list[list[int]]]:
    return [cells.tolist() for _, cells in read_matrices(path)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (ROWS, [A]),
        (ROWS + "\n" + ROWS, [A, A]),
        (ROWS + "\n \n\n" + ROWS + "\n\n", [A, A]),
        ("\n\n" + ROWS.rstrip(), [A]),
        (FLAT, [A]),
        (FLAT * 2, [A, A]),
        (FLAT * 30, [A] * 30),
        (FLAT + "\n" + ROWS, [A, A]),
        ("2 3\n5 7\n\n" + ROWS, [B, A]),
        ("7\n", [[[7]]]),
        ("7\n\n7", [[[7]]] * 2),
        ("Matriz 5001:\n" + ROWS + "MATRIX #5002.\n" + ROWS + "square 3\n\n" + ROWS, [A, A, A]),
        (ROWS.replace("\n", "\r\n"), [A]),
        ("\ufeff" + ROWS, [A]),
        (" 17  89  71\n113  59   5\n 47  29 101\n", [A]),
        (ROWS.replace(" ", "\t"), [A]),
        (ROWS.replace(" ", ","), [A]),
        (ROWS.replace(" ", ", "), [A]),
        (ROWS.replace(" ", ";"), [A]),
        ("017 089 071\n113 059 005\n047 029 101\n", [A]),
        ("17,89,71,\n113,59,5,\n47,29,101,\n,,,\n" + ROWS.replace(" ", ","), [A, A]),
        ('"17","89","71"\n"113","59","5"\n"47","29","101"\n', [A]),
        ("(17, 89, 71)\n(113, 59, 5)\n(47, 29, 101)\n", [A]),
        ("[17, 89, 71],\n[113, 59, 5],\n[47, 29, 101]\n", [A]),
        (str(np.array(A)), [A]),
        ("[17 89 71; 113 59 5; 47 29 101]", [A]),
        (json.dumps(A), [A]),
        (json.dumps(A, indent=2), [A]),
        ("\ufeff\n " + json.dumps(A), [A]),
        (json.dumps([A, B, [[7]]]), [A, B, [[7]]]),
        (json.dumps([A, B], indent=1), [A, B]),
        (json.dumps(FLAT_A), [A]),
        (json.dumps([FLAT_A] * 2), [A, A]),
        ((json.dumps(A) + "\n") * 2, [A, A]),
    ],
)
def test_every_form_reads_alike(write, content: str, expected: list[list[list[int]]]) -> None:  # type: ignore[no-untyped-def]
    assert cells_of(write(content)) == expected


def test_places_are_the_first_line_of_each_matrix(write) -> None:  # type: ignore[no-untyped-def]
    path = write("Matrix 1\n" + ROWS + "\n" + ROWS)
    assert [place for place, _ in read_matrices(path)] == [f"{path}, line 2", f"{path}, line 6"]
    path = write(FLAT * 5)
    assert [place for place, _ in read_matrices(path)] == [f"{path}, line {n}" for n in range(1, 6)]
    path = write(json.dumps([A, B]))
    assert [place for place, _ in read_matrices(path)] == [f"{path}, matrix 1", f"{path}, matrix 2"]


@pytest.mark.parametrize("kind", ["<i8", ">i4", "u2", "u8"])
def test_arrays_saved_by_numpy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "squares.npy"
    for array, expected in (
        (np.array(A, dtype=kind), [A]),
        (np.array([A, A], dtype=kind), [A, A]),
        (np.array([FLAT_A] * 2, dtype=kind), [A, A]),
        (np.asfortranarray(np.array(A, dtype=kind)), [A]),
    ):
        np.save(path, array)
        assert cells_of(path) == expected


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(ROWS.encode())))
    assert [(place, cells.tolist()) for place, cells in read_matrices("-")] == [("standard input, line 1", A)]


def test_good_matrices_come_before_the_bad_one(write) -> None:  # type: ignore[no-untyped-def]
    matrices = read_matrices(write(ROWS + "\n" + ROWS + "\n1 2\n3\n"))
    assert [next(matrices)[1].tolist(), next(matrices)[1].tolist()] == [A, A]
    with pytest.raises(ValueError, match="line 10: 1 numbers in a row, 2 in the first"):
        next(matrices)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1 2 3\n4 5\n6 7 8\n", "line 2: 2 numbers in a row, 3 in the first"),
        ("1 2 3\n4 5 6\n", "line 1: 2 by 3 numbers are no square"),
        ("1 2 3 4\n" * 3, "line 1: 3 by 4 numbers are no square"),
        ("1 2 3\n" * 40, "line 1: 40 by 3 numbers are no square"),
        ("1\n2\n3\n", "line 1: 3 by 1 numbers are no square"),
        (FLAT + "1 2\n", "line 2: 2 numbers in a row, 9 in the first"),
        ("1 2\nx 4\n", 'line 2: "x" is no number'),
        ("1.0 2\n3 4\n", 'line 1: "1.0" is no number'),
        ("1 1_000\n3 4\n", 'line 1: "1_000" is no number'),
        ("1 +2\n3 4\n", 'line 1: "+2" is no number'),
        ("1 0x2\n3 4\n", 'line 1: "0x2" is no number'),
        ("1 ٣\n3 4\n", 'line 1: "٣" is no number'),
        ("1 ３\n3 4\n", 'line 1: "３" is no number'),
        ("1\u00a02\n3 4\n", 'line 1: "1\\xa02" is no number'),
        ("1 \x1b[31m2\n3 4\n", 'line 1: "\\x1b" is no number'),
        ("1 -2\n3 4\n", "line 1: -2 is negative"),
        ("1 \u22122\n3 4\n", "line 1: \u22122 is negative"),
        (f"1 {10**30}\n3 4\n", f"line 1: {10**30} is too large"),
        (f"1 {2**63}\n3 4\n", f"line 1: {2**63} is too large"),
        (f"1 {2**63 - 1}\n3 4\n", "line 1: a line of 2 such cells could pass 2**63 - 1"),
        ("9" * 10**6 + " 2\n3 4\n", "line 1: a number of 1000000 digits is too large"),
        ("1,,2\n3,4,5\n6,7,8\n", "line 1: a cell is empty"),
        (",1\n2,3\n", "line 1: a cell is empty"),
        ("", "holds no matrix"),
        (" \n\n", "holds no matrix"),
        ("Matrix 1\n", "holds no matrix"),
        ("[]", "holds no matrix"),
        (b"\x7fELF\x02\x01\x00\x00\x07", "line 1: this is no text"),
        (b"\xff\xfe1\x002\x00", "line 1: this is no text"),
        (b"\x80\x81\n", 'line 1: "\\x80\\x81" is no number'),
        ("[" * 100_000, "lists in lists without end"),
        ("[" * 100_000 + "]" * 100_000, "lists in lists without end"),
        ("[" * 9 + "1" + "]" * 9, "this JSON is no matrix"),
        ("[[1, 2], [3", "line 1: this is no JSON"),
        ('{"rows": [[1]]}', "this JSON is no matrix"),
        ("{1}", "line 1: this is no JSON"),
        ("[[1, 2], [3, 4.5]]", 'row 2: "4.5" is no number'),
        ("[[1, true], [3, 4]]", 'row 1: "true" is no number'),
        ("[[1, null], [3, 4]]", 'row 1: "null" is no number'),
        ("[[1, NaN], [3, 4]]", 'row 1: "NaN" is no number'),
        ('[[1, "2"], [3, 4]]', 'row 1: "2" is no number'),
        ("[[1, -2], [3, 4]]", "row 1: -2 is negative"),
        (f"[[1, {'7' * 5_000}], [3, 4]]", "row 1: a number of 5000 digits is too large"),
        ("[[1, 2], 3]", "row 2: a row is missing or empty"),
        ("[[[1]], [[2], []]]", "matrix 2: a row is missing or empty"),
        ("[[[1]], 2]", "matrix 2: this is no list of rows"),
        ("[[[1]], [[1, 2]]]", "matrix 2: 1 by 2 numbers are no square"),
    ],
)
def test_bad_input_is_one_sentence(write, content: str | bytes, told: str) -> None:  # type: ignore[no-untyped-def]
    path = write(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        list(read_matrices(path))
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert told in sentence
    assert printable(sentence) == sentence
    assert len(sentence) < 300


def test_a_json_file_must_be_json(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="line 1: this is no JSON"):
        list(read_matrices(write(ROWS, "squares.json")))


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 3)),
        np.array([[True]]),
        np.arange(9),
        np.zeros((1, 1, 1, 1), dtype=int),
        np.zeros((0, 3, 3), dtype=int),
        np.zeros((2, 3, 4), dtype=int),
        np.zeros((2, 3), dtype=int),
        np.array([[-1]]),
        np.array([[[-1]]]),
        np.array([[2**63]], dtype=np.uint64),
        np.array([[2**62, 0], [0, 0]]),
        np.array([[None]]),
    ],
)
def test_arrays_that_are_no_matrices(tmp_path: Path, array: np.ndarray) -> None:  # type: ignore[type-arg]
    path = tmp_path / "squares.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match=r"^[^\n]*squares\.npy[^\n]*$"):
        list(read_matrices(path))


@given(st.binary(max_size=80), st.integers(0, 127))
def test_a_damaged_npy_file_is_a_sentence(noise: bytes, cut: int) -> None:
    good = BytesIO()
    np.save(good, np.array(A))
    check_any(good.getvalue()[:cut] + noise)


@given(st.binary(max_size=60))
def test_any_bytes_are_matrices_or_a_sentence(noise: bytes) -> None:
    check_any(noise)


@given(st.text(alphabet='0123456789 \n,;[](){}"-.eMatrix\u0663\u2212\0', max_size=60))
def test_any_text_is_matrices_or_a_sentence(noise: str) -> None:
    check_any(noise.encode())


def check_any(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(data)))
        try:
            for place, cells in read_matrices("-"):
                assert place.startswith("standard input, ")
                assert cells.ndim == 2
                assert len(set(cells.shape)) == 1
                assert cells.min() >= 0
        except ValueError as error:
            sentence = str(error)
            assert sentence.startswith("standard input")
            assert printable(sentence) == sentence


def test_folders_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        list(read_matrices(tmp_path))
    with pytest.raises(ValueError, match=r"there is no file .*squares\.txt"):
        list(read_matrices(tmp_path / "squares.txt"))
    with pytest.raises(ValueError, match="cannot be read"):
        list(read_matrices(tmp_path / ("x" * 300)))


def test_names_cannot_command_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202e.txt"
    path.write_text(ROWS)
    [(place, _)] = read_matrices(path)
    assert place.endswith("a\\x1b[31m\\u202e.txt, line 1")


@pytest.mark.parametrize("form", ["rows", "flat", "csv", "json", "npy"])
def test_a_matrix_of_order_600(tmp_path: Path, form: str) -> None:
    cells = np.random.default_rng(0).integers(0, 10**12, (600, 600))
    path = tmp_path / f"large.{form}"
    rows = cells.tolist()
    if form == "npy":
        np.save(path, cells)
    else:
        text = {
            "rows": "\n".join(" ".join(map(str, row)) for row in rows),
            "flat": " ".join(str(cell) for row in rows for cell in row),
            "csv": "\n".join(",".join(map(str, row)) for row in rows),
            "json": json.dumps(rows),
        }
        path.write_text(text[form])
    [(_, read)] = read_matrices(path)
    assert (read == cells).all()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 2**60), st.integers(0, 99))
def test_what_is_written_is_read(orders: list[int], top: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    squares = [rng.integers(0, top, (n, n)) for n in orders]
    with pytest.MonkeyPatch.context() as patch:
        texts: list[str] = []
        patch.setattr("aritmo.numbers.matrixfiles.write_whole", lambda path, text: texts.append(text))
        write_matrices("unused", squares)
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(texts[0].encode())))
        assert cells_of("-") == [square.tolist() for square in squares]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "squares.txt"
    write_matrices(path, [np.array(A), np.array(B)])
    assert path.read_text() == " 17  89  71\n113  59   5\n 47  29 101\n\n2 3\n5 7\n"

    def broken():  # type: ignore[no-untyped-def]
        yield np.array(B)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_matrices(path, broken())
    assert cells_of(path) == [A, B]
    assert [entry.name for entry in tmp_path.iterdir()] == ["squares.txt"]


def outcome(path: Path) -> tuple[list[tuple[str, list[list[int]]]], str]:
    found = []
    try:
        for place, cells in read_matrices(path):
            found.append((place, cells.tolist()))
    except ValueError as error:
        return found, str(error)
    return found, ""


@given(
    st.lists(
        st.sampled_from(
            [ROWS, "2 3\n5  7\n", "\n", "\r\n", " \n", "7\n", "7\r", FLAT, "Matrix 3\n", "1 2\n", "x", "9" * 19]
        ),
        max_size=8,
    ),
    st.integers(1, 60),
)
def test_the_fast_reader_reads_what_the_slow_one_does(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "pieces.txt"
    path.write_bytes("".join(pieces).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aritmo.numbers.matrixfiles._CHUNK", chunk)
        fast = outcome(path)
        patch.setattr("aritmo.numbers.matrixfiles._plain_blocks", lambda text: None)
        assert fast == outcome(path)


def test_a_pipe_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    pipe = Pipe((ROWS + "\n" + FLAT).encode())
    monkeypatch.setattr(sys, "stdin", type("Stream", (), {"buffer": pipe}))
    matrices = read_matrices("-")
    assert next(matrices)[1].tolist() == A
    assert pipe.tell() < len(ROWS) + len(FLAT)
    assert [cells.tolist() for _, cells in matrices] == [A]
