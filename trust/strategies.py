"""Texts that hypothesis makes: any characters, any bytes, and the words of the styles in any order."""

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from aritmo.tasks import TASKS
from trust.cases import ODD
from trust.fuzz import LONGEST, Job, Tally, encoded, watched

_NUMBERS = st.one_of(
    st.integers(0, 200).map(str),
    st.integers(-1, 1 << 70).map(str),
    st.integers(0, 19_999).map(lambda n: f"{n % 100:02}'{n // 100}"),
    st.text("0123456789", min_size=1, max_size=30),
    st.characters(categories=("Nd", "Nl", "No")),
)
_SIGNS = """
    Ask: Any Centre from skip 2x Twice * . + ! / ~ none All used Free Ring Top Left Again - #1 #28 no yes
    Rows: Columns: Diagonals: with sum of order centre ### Matrix: [ ] [[ ]] , ; " ( ) { } $ = ? -> prime?
"""
_WORDS = st.sampled_from(sorted({word for task in TASKS.values() for word in task.words} | set(_SIGNS.split())))
_SPACES = st.sampled_from((" ", " ", "\n", "\n", "", "\t", "\r\n", ",", "+", "=", "->", ", ", *ODD))
_PIECES = st.lists(st.tuples(st.one_of(_NUMBERS, _WORDS), _SPACES), max_size=60)

TEXTS = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(encoded),
    st.text(st.characters(exclude_categories=()), max_size=100).map(encoded),
    _PIECES.map(lambda pieces: encoded("".join(word + space for word, space in pieces))),
)


def read_drawn(job: Job) -> Tally:
    """Let hypothesis draw ``stop - start`` texts, another stretch for each ``start``, and read them."""
    tally = Tally()
    with watched(job.most) as read:

        @seed(job.seed * 1_000_003 + job.start)
        @settings(
            max_examples=job.stop - job.start,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(TEXTS)
        def draw(text: bytes) -> None:
            nonlocal tally
            tally += read([text[:LONGEST]])

        draw()
    return tally
