"""What docs/trust.md says that the judge accepts and rejects, text by text."""

import pytest

from aritmo.tasks import find_task

SUM = "37331\nAdding 8292 and 29039 means counting on from 8292 by 29039 and gives 37331."
SQUARE = "17 89 71\n113 59 5\n47 29 101\nRows: 177 177 177\nColumns: 177 177 177\nDiagonals: 177 177"
TURNED = "47 113 17\n29 59 89\n101 5 71\nRows: 177 177 177\nColumns: 177 177 177\nDiagonals: 177 177"
DIGITS = "ones->7\ntens->5\n"

ASKED = {
    "plain": ("addition", "8292+29039="),
    "aligned": ("addition", "$9+71421="),
    "listing": ("squares", "Matrix of order 3 with centre 59"),
    "joined": ("decomposition", "###\n57\n"),
    "yes": ("primality", "Is 7919 prime?"),
}

ACCEPTED = [
    ("plain", SUM),
    ("plain", SUM.replace("\n", "\r\n")),
    ("plain", SUM.replace("\n", "\n\n \n") + "\n\n"),
    ("plain", SUM.replace(" ", "  ")),
    ("plain", SUM.replace(" ", "\u00a0")),
    ("aligned", " 03417\n"),
    ("listing", SQUARE),
    ("listing", TURNED),
    ("listing", SQUARE.replace(" ", "\t")),
    ("listing", SQUARE.replace(":", " :")),
    ("listing", SQUARE.replace("\n", "\r\n\r\n")),
    ("joined", DIGITS.strip()),
    ("yes", "\nyes "),
]

REJECTED = [
    # Numbers have ASCII digits, and one way of being written.
    *(("plain", SUM.replace("37331", other)) for other in ("37,331", "37_331", "37 331", "+37331", "037331")),
    *(
        ("plain", SUM.replace("37331", other))
        for other in ("٣٧٣٣١", "３７３３１", "37331.0", "3733¹", "9" * 5_000)
    ),
    *(("listing", SQUARE.replace("113", other)) for other in ("0113", "1_13", "+113", "１１３", "1l3", "113,")),
    ("listing", SQUARE.replace("Rows: 177", "Rows: 0177")),
    # A text ends where the answer ends, and begins where it begins.
    ("plain", SUM + "\n" + SUM),
    ("plain", "8292+29039=" + SUM),
    ("plain", SUM + " Quite so."),
    ("aligned", "03417=71430"),
    ("listing", "Matrix 7\n" + SQUARE),
    ("listing", SQUARE + "\n" + SQUARE),
    ("listing", SQUARE + "\nMatrix 8\n"),
    ("listing", "\n".join(SQUARE.split("\n")[:3] * 2)),
    ("joined", DIGITS + "###\n"),
    ("yes", "yes\nyes"),
    ("yes", "yes."),
    # Nothing invisible is passed over.
    *(("plain", SUM + other) for other in ("\x00", "\ud800", "\u200b", "\x1b[0m")),
    *(("listing", SQUARE.replace("59", f"59{other}")) for other in ("\x00", "\ud800", "\u200b", "\ufeff")),
    ("plain", "\ufeff" + SUM),
    # Lines are parted by a newline and by nothing else.
    *(("plain", SUM.replace("\n", other)) for other in (" ", "\r", "\x0b", "\u2028")),
    *(("listing", SQUARE.replace("\n", other)) for other in (" ", "\r", "\u2028")),
    ("joined", DIGITS.replace("\n", " ")),
    # Words are as they are written, the order of lines too, and nothing may lack.
    ("plain", SUM.replace("Adding", "adding")),
    ("plain", "37331"),
    ("listing", SQUARE.replace("Rows", "ROWS")),
    ("listing", "\n".join(SQUARE.split("\n")[:3])),
    ("listing", "\n".join([*SQUARE.split("\n")[:3], *reversed(SQUARE.split("\n")[3:])])),
    ("joined", "tens->5\nones->7\n"),
    ("joined", DIGITS + "hundreds->0\n"),
    ("yes", "Yes"),
    # Equal sums are not enough, nor primes, nor a right square that was not asked for.
    ("listing", "7 7 7\n7 7 7\n7 7 7\nRows: 21 21 21\nColumns: 21 21 21\nDiagonals: 21 21"),
    ("listing", "2 7 6\n9 5 1\n4 3 8\nRows: 15 15 15\nColumns: 15 15 15\nDiagonals: 15 15"),
    ("listing", "59\nRows: 59\nColumns: 59\nDiagonals: 59 59"),
    ("listing", SQUARE.replace("177 177\n", "177 179\n", 1)),
]


def accepted(asked: str, text: str) -> bool:
    name, prompt = ASKED[asked]
    task, style = find_task(name, None if asked == "yes" else asked)
    return task.judge(task.read_prompt(prompt, style), text, style).valid


@pytest.mark.parametrize(("asked", "text"), ACCEPTED)
def test_white_space_is_free(asked: str, text: str) -> None:
    assert accepted(asked, text)


@pytest.mark.parametrize(("asked", "text"), REJECTED)
def test_all_else_is_exact(asked: str, text: str) -> None:
    assert not accepted(asked, text)


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        *(("plain", other) for other in ("08292+1=", "8,292+1=", "8292 + 1=", "８292+1=", "8292+1")),
        *(("plain", other) for other in ("+1+1=", "1e3+1=", "-1+1=", "9" * 4_001 + "+1=", "1+1=2")),
        *(("listing", f"Matrix {other}") for other in ("07", "٧", "7\nMatrix 8", "1_000", "7.")),
        ("listing", "matrix 7"),
        *(("joined", other) for other in ("057", "5 7", "٥٧", "###\n###\n57", "9" * 67)),
        *(("yes", f"Is {other} prime?") for other in ("07919", "7_919", "9" * 19)),
        ("yes", "is 7919 prime?"),
    ],
)
def test_a_prompt_is_read_as_strictly(asked: str, prompt: str) -> None:
    name, _ = ASKED[asked]
    task, style = find_task(name, None if asked == "yes" else asked)
    with pytest.raises(ValueError, match=r".{20}"):
        task.read_prompt(prompt, style)
