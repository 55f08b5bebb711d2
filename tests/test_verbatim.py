"""What stands verbatim in training, against looking at every run of words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.verbatim import RUN, Repeated, find_repeated

_TEXTS = st.lists(st.lists(st.sampled_from(["1", "2", "07'16"]), max_size=40), max_size=6)


def _runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]


def _naive(words: list[str], training: list[list[str]]) -> Repeated:
    known = {run for text in training for run in _runs(text)}
    met = [run in known for run in _runs(words)]
    repeated = {at + along for at, flag in enumerate(met) if flag for along in range(RUN)}
    longest = row = 0
    for flag in met:
        row = row + 1 if flag else 0
        longest = max(longest, row + RUN - 1 if row else 0)
    return Repeated(len(words), len(repeated), longest)


@given(_TEXTS, _TEXTS, st.sampled_from([1, 2, 512]))
def test_the_count_is_that_of_looking_at_every_run(
    texts: list[list[str]], training: list[list[str]], at_once: int
) -> None:
    # Pieces of the training make copies, short and long, far more frequent.
    texts = texts + [a[-12:] + b[:12] for a, b in pairwise(training)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aritmo.verbatim._AT_ONCE", at_once)
        found = find_repeated(map(" ".join, texts), map("\n ".join, training))
    assert found == [_naive(words, training) for words in texts]


def test_a_piece_learned_by_heart_counts_and_what_is_around_it_does_not() -> None:
    words = [str(number) for number in range(40)]
    training = [" ".join(words[:20]), " ".join(words[20:])]
    text = " ".join(["new", *words[5:15], "other", *words[30:37], "end"])
    assert find_repeated([text], training) == [Repeated(20, 10, 10)]
    # Where one training text ends and the next begins no run stands.
    assert find_repeated([" ".join(words[16:24])], training) == [Repeated(8, 0, 0)]


def test_words_that_training_lacks_agree_with_none_of_its_words() -> None:
    assert find_repeated(["a " * 8], ["b " * 8, "c " * 8]) == [Repeated(8, 0, 0)]


def test_nothing_written_and_nothing_learned() -> None:
    assert find_repeated([], ["a b c"]) == []
    assert find_repeated(["", "a b", "x " * 9], []) == [Repeated(0, 0, 0), Repeated(2, 0, 0), Repeated(9, 0, 0)]
