"""Tables of experiments: the median seed, the range, and the least size that is enough."""

from typing import Any

import pytest

from aritmo.trials.picture import draw_trial
from aritmo.trials.tables import needed, seen_table, shares, table


def line(subject: str, cut: str, size: int, seed: int, right: int) -> dict[str, Any]:
    curve = [[10, right // 2, 100, 100, 100], [20, right, 200, 90, 100]]
    return {"subject": subject, "cut": cut, "size": size, "seed": seed, "right": right, "of": 200, "curve": curve}


RESULTS = [
    line("addition-plain", cut, size, seed, right)
    for cut, size, rights in (
        ("bpe", 100, (0, 2, 50)),
        ("bpe", 1000, (100, 120, 199)),
        ("digits", 100, (150, 199, 200)),
        ("digits", 1000, (200, 200, 200)),
    )
    for seed, right in enumerate(rights)
]


@pytest.mark.parametrize(
    ("by_size", "least"),
    [
        ({10: [1.0], 20: [1.0]}, 10),
        ({10: [1.0], 20: [0.5], 30: [0.99]}, 30),
        ({10: [1.0], 20: [0.98]}, None),
        ({10: [0.0, 0.99, 1.0], 20: [0.2, 1.0, 1.0]}, 10),
    ],
)
def test_the_least_size_from_which_on_the_median_is_enough(
    by_size: dict[int, list[float]], least: int | None
) -> None:
    assert needed(by_size) == least


def test_tables() -> None:
    assert shares(RESULTS, "addition-plain", "bpe") == {100: [0.0, 0.01, 0.25], 1000: [0.5, 0.6, 0.995]}
    rows = table(RESULTS).splitlines()
    assert rows[0] == "| addition-plain | 100 | 1,000 | examples needed for 99 % |"
    assert rows[2] == "| by GPT-2's BPE | 1 % (0–25) | 60 % (50–99.5) | more than 1,000 |"
    assert rows[3] == "| digit by digit | 99.5 % (75–100) | 100 % | 100 |"
    assert "| cifra a cifra | 99,5 % (75–100) | 100 % | 100 |" in table(RESULTS, "es")
    assert "más de 1.000" in table(RESULTS, "es")


def test_seen_and_unseen() -> None:
    own = [one for one in RESULTS if (one["cut"], one["size"]) == ("bpe", 100)]
    assert seen_table(own).splitlines()[2] == "| addition-plain | 90 % | 1 % (0–25) |"


def test_a_picture_of_what_there_is_so_far() -> None:
    lengths = {"by_length": [[1, 1, 5, 10], [1, 2, 10, 10]]}
    done = [one | lengths for one in RESULTS]
    begun = [one | lengths | {"subject": "addition-tutorial"} for one in RESULTS if one["cut"] == "bpe"]
    picture = draw_trial([*done, *begun])
    assert picture.startswith(b"<?xml")
    assert picture == draw_trial([*done, *begun])
    assert picture.count(b"<!-- BPE, 1,000 -->") == 2
    assert picture.count(b"<!-- digit by digit, 1,000 -->") == 1
