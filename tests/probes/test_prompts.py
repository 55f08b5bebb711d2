"""What is asked: the report's prompts to the letter, right continuations, the same problems for the same seed."""

import re

import pytest

from aritmo.numbers.primes import is_prime
from aritmo.probes.prompts import PROBES, REPORT_GPTJ, find_probe, report_share
from aritmo.probes.reading import judged

# The examples before the bold end of the report's prompts, line by line.
JOINED = """\
###
57
ones->7
tens->5
###
50
ones->0
tens->5
###
28
ones->8
tens->2
###
52
ones->2
tens->5
###
36
ones->6
tens->3
###
26
ones->6
tens->2
###
89
ones->9
tens->8
###
98
ones->8
tens->9
###
71
ones->1
tens->7
###
43
ones->"""


def test_the_first_questions_are_the_reports() -> None:
    (first,) = PROBES["joined"].items(7, (2,), 1)
    assert first.prompt == JOINED
    (first,) = PROBES["spaced"].items(7, (2,), 1)
    assert first.prompt == re.sub(r"^(\d)(\d)$", r"\1 \2", JOINED, flags=re.MULTILINE)
    assert first.right == "3\ntens->4\n"


def test_what_gpt_j_wrote_in_the_report_is_counted_as_printed() -> None:
    assert report_share("joined") == (4, 17)
    assert report_share("spaced") == (16, 16)
    assert REPORT_GPTJ["joined"][0] == (43, "43")  # ones->4, tens->3


@pytest.mark.parametrize("probe", PROBES.values(), ids=lambda probe: probe.name)
def test_the_right_answer_is_right_and_another_is_not(probe) -> None:  # type: ignore[no-untyped-def]
    for group, count in probe.counts(10).items():
        for item in probe.items(3, group, count):
            if probe.name == "squares":
                continue
            for after in ("", "###\n12\nones->9" if probe.task == "decomposition" else "1+1=3\n"):
                record = judged(item, item.right + after)
                assert record["right"], record
                assert record["reasons"] == []
            other = item.right.translate(str.maketrans("0123456789yn", "1234567890ny"))
            assert not judged(item, other)["right"]


@pytest.mark.parametrize("probe", PROBES.values(), ids=lambda probe: probe.name)
def test_problems_follow_from_the_seed_and_more_of_them_begin_with_the_same(probe) -> None:  # type: ignore[no-untyped-def]
    group = probe.groups[-1]
    some, more = probe.items(1, group, 4), probe.items(1, group, 9)
    assert [item.index for item in more] == list(range(9))
    assert [item.prompt for item in more[:4]] == [item.prompt for item in some]
    assert [item.prompt for item in probe.items(2, group, 9)] != [item.prompt for item in more]
    assert len({item.prompt for item in more}) == 9


def test_the_numbers_lie_where_the_item_says_and_have_the_digits_of_the_group() -> None:
    for probe in PROBES.values():
        for group in probe.groups:
            for item in probe.items(5, group, 3):
                found = [item.prompt[start:end].replace(" ", "") for start, end in item.numbers]
                assert [len(number) for number in found] == (list(group) if item.numbers else [])
                if probe.name == "addition":
                    assert found == [str(item.problem.a), str(item.problem.b)]
                elif item.numbers:
                    assert found == [str(item.problem)]
                assert item.prompt.endswith(item.written + item.begun)


def test_two_digits_end_when_all_were_asked() -> None:
    numbers = [item.problem for item in PROBES["joined"].items(0, (2,), 1000)]
    shown = {57, 50, 28, 52, 36, 26, 89, 98, 71}
    assert sorted(numbers) == sorted(set(range(10, 100)) - shown)
    assert numbers[0] == 43


def test_half_of_the_numbers_asked_are_prime() -> None:
    asked = [item.problem for item in PROBES["primality"].items(0, (4,), 40)]
    assert sum(map(is_prime, asked)) == 20
    short = [item.problem for item in PROBES["primality"].items(0, (2,), 1000)]
    assert 2 * sum(map(is_prime, short)) == len(short) == 2 * (21 - 1)  # 89 is shown


def test_a_count_is_shared_out_evenly() -> None:
    counts = PROBES["addition"].counts(60)
    assert sum(counts.values()) == 60
    assert set(counts.values()) == {2, 3}
    assert PROBES["squares"].counts(200) == {(3,): 40}
    assert set(PROBES["addition"].counts(1).values()) == {1}


def test_an_unknown_probe_is_named() -> None:
    with pytest.raises(ValueError, match="there is no probe 'sums': choose of joined, spaced, addition"):
        find_probe("sums")
