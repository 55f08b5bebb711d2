"""Old and made examples in one corpus, in about the share that was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from aritmo.mixing import repeats


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.05, 0.95))
def test_made_examples_come_near_their_share(old: int, made: int, share: float) -> None:
    times = repeats(old, made, share)
    assert 1 <= times <= 10
    if 1 < times < 10:
        off = [abs(n * made / (n * made + old) - share) for n in range(1, 11)]
        assert off[times - 1] <= sorted(off)[1] + 1e-9


def test_few_examples_are_repeated_ten_times_at_most() -> None:
    assert repeats(16_000, 2_000, 0.5) == 8
    assert repeats(16_000, 20, 0.5) == 10
    assert repeats(100, 5_000, 0.5) == 1
