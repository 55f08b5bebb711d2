"""Position ids against a naive writer that walks over the characters of a sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.positions import lay_out, longest_operand

PLACES = 60


def by_hand(a: int, b: int, start: int, roles: int) -> list[int]:
    """The ids of a whole sum with its answer and end token: each character finds its own place and role."""
    text = f"${a}+{b}={str(a + b)[::-1]}#"
    ids = []
    for at, character in enumerate(text):
        before, behind = text[:at], text[at:]
        role = 0 if "+" not in before else 1 if "=" not in before and character != "=" else 2
        if character == "$":
            place = role = 0
        elif character in "+=":
            place = start
        elif "=" in before:
            place = start + len(before.partition("=")[2]) + 1
        else:
            place = start + len(behind.partition("+" if role == 0 else "=")[0])
        ids.append(place * roles + (role if roles == 3 else 0))
    return ids


numbers = st.integers(0, 56).flatmap(lambda digits: st.integers(0, 10**digits))


@given(numbers, numbers, st.sampled_from([1, 3]))
def test_coupled_ids_agree_with_a_naive_writer(a: int, b: int, roles: int) -> None:
    prompt, answer = f"${a}+{b}=", str(a + b)
    ids, stride, room = lay_out(prompt, len(prompt), PLACES * roles, roles)
    written = [ids[-1] + (k + 1) * stride for k in range(len(answer) + 1)]
    start = ids[-1] // roles
    assert ids + written == by_hand(a, b, start, roles)
    assert 1 <= start <= 40
    assert room >= len(answer) + 1
    assert max(ids) < PLACES * roles
    assert ids[-1] + (room - 1) * stride < PLACES * roles


@given(st.integers(1, 2000), st.sampled_from([12, 1100]), st.sampled_from([1, 3]))
def test_the_longest_operand_is_the_longest_that_is_laid_out(digits: int, places: int, roles: int) -> None:
    prompt = f"${'9' * digits}+1="
    if digits <= longest_operand(places * roles, roles):
        assert lay_out(prompt, len(prompt), places * roles, roles).room >= digits + 2
    else:
        with pytest.raises(ValueError, match=f"{digits:,} digits and the model has position ids for"):
            lay_out(prompt, len(prompt), places * roles, roles)


@given(st.integers(0, 50))
def test_plain_ids_count(tokens: int) -> None:
    assert lay_out("whatever", tokens, 40) == (list(range(tokens)), 1, max(0, 40 - tokens))


@pytest.mark.parametrize("prompt", ["", "1+2=", "$1+2", "$1+2=3", "$+2=", "$1+2+3=", "$1 +2=", "$١+٢=", "$1+2=\n"])
def test_another_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match="reads sums like"):
        lay_out(prompt, len(prompt), 300, 3)


def test_a_token_must_be_one_character() -> None:
    with pytest.raises(ValueError, match="reads sums like"):
        lay_out("$12+34=", 5, 300, 3)
