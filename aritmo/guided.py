"""Guided decoding: while a model writes a square, tokens that lead to no valid answer any more are left out.

All valid answers to a prompt are listed and sorted, so that those that begin with what is written stand together.
A token may come next where it goes on as one of them does; so every text is a valid answer when it ends, whatever
the model and however its tokenizer cuts numbers. What the model still chooses is which one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from aritmo.numbers.nesting import list_cores
from aritmo.numbers.primes import is_prime
from aritmo.numbers.rings import arranged, offsets, squares_of_cores
from aritmo.numbers.search import list_order3
from aritmo.numbers.squares import views
from aritmo.tasks.squares import Square, Squares, Wanted
from aritmo.tokens import encode_batch

STYLE = "listing"
"""The style that answers are written in. In ``tutorial`` a prompt has one right text: nothing is left to guide."""

LARGEST = 30_000
"""The bound up to which all squares are listed: 149,393, and each in 8 orientations."""

_MOST = 200_000
"""Squares of one centre at most."""
_FEW = 16
"""Answers that are gone through anew each time: what comes next of more is remembered."""

Place = tuple[int, int, int]
"""The first answer that begins with what is written, the one behind the last, and how long that beginning is."""
Trie = dict[str, "tuple[list[int], Trie]"]
"""Tokens by what they write: for each next character the tokens that end there, and what goes on from it."""


class Guide:
    """What may be written on a prompt for squares of order 3 with cells below ``below``, in a tokenizer's tokens.

    Raises ValueError for a tokenizer without an end token, or without a token for one of the characters needed.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, below: int) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end token, so no text could end: give it an eos_token")
        self._end, self._below = int(tokenizer.eos_token_id), below
        self._trie = _trie(tokenizer, sorted({*_text((5, *[17] * 8)), *"0123456789"}))
        self._answers: dict[Wanted, _Answers] = {}

    def begin(self, prompt: str) -> "Path":
        """Return the way through the answers to a prompt in the style ``listing``, at its beginning.

        Raises ValueError for a prompt that asks no square of order 3, or one that does not exist below the
        bound, and where there are too many to list.
        """
        wanted = Squares().read_prompt(prompt, STYLE).wanted or Wanted()
        if wanted.order not in (None, 3):
            raise ValueError(
                f"guided writing lists all squares there are, and of order {wanted.order} there are too many: ask "
                f"for order 3, or leave out --guided"
            )
        wanted = wanted._replace(order=None)
        if wanted not in self._answers:
            self._answers[wanted] = _Answers(answers(wanted, self._below), self._trie, self._end)
        return Path(self._answers[wanted])


class Path:
    """One text that is being written: which answers it may still become."""

    __slots__ = ("_answers", "_onward", "_place")

    def __init__(self, answers: "_Answers") -> None:
        self._answers = answers
        self._place: Place = (0, len(answers.texts), 0)
        self._onward: dict[int, Place] = {}

    @property
    def most(self) -> int:
        """How many tokens the text may have at most, its end included: each writes a character or more."""
        return self._answers.longest + 1

    def allowed(self) -> list[int]:
        """Return, rising, the tokens that may come next: where the text is whole, the end token alone."""
        self._onward = self._answers.onward(self._place)
        return list(self._onward)

    def follow(self, token: int) -> None:
        """Go on by one of the tokens that ``allowed`` returned last."""
        self._place = self._onward[token]

    def check(self, text: str) -> None:
        """Raise ValueError unless ``text`` is the answer that was reached."""
        first, _, length = self._place
        if text != self._answers.texts[first][:length]:
            raise ValueError(
                f"the tokenizer joins tokens to {text[:60]!r}, which they do not write one by one, so no text can "
                f"be guided: leave out --guided"
            )


def stacked(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Return the tokens that may come next on each path, as (paths, most), filled up with -1."""
    rows = [path.allowed() for path in paths]
    table = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def answers(wanted: Wanted, below: int) -> list[str]:
    """Return every valid answer in the style ``listing`` with cells below ``below``, sorted: all squares, or those
    of the centre or the sum wanted, in 8 orientations each.

    Raises ValueError where there is none, and where there are too many to list.
    """
    centre = wanted.centre
    if wanted.magic_sum is not None:
        centre, rest = divmod(wanted.magic_sum, 3)
        centre = 0 if rest or wanted.centre not in (None, centre) else centre
    if centre is None and below > LARGEST:
        raise ValueError(
            f"guided writing lists every square below a bound of at most {LARGEST:,}, not {below:,}: ask by "
            f"centre or sum, or take a corpus with a lower bound"
        )
    classes = list_order3(below) if centre is None else _squares_around(centre, below)
    if not len(classes):
        asked = f"sum {wanted.magic_sum}" if wanted.magic_sum is not None else f"centre {centre}"
        which = "" if centre is None else f" with {asked}"
        raise ValueError(f"no prime magic square of order 3{which} has all cells below {below:,}: ask for another")
    return sorted(_text(tuple(cells)) for cells in classes[:, views(3)].reshape(-1, 9).tolist())


def _text(cells: tuple[int, ...]) -> str:
    return Squares().completion(Square(0, cells), STYLE)


def _squares_around(centre: int, below: int) -> NDArray[np.int64]:
    """Return one of each 8 orientations of the squares of a centre, as (N, 9)."""
    free = offsets(centre, below) if is_prime(centre) else np.empty(0, dtype=np.int64)
    if not len(free):
        return np.empty((0, 9), dtype=np.int64)
    unit, pool, at = arranged(free)
    cores = unit * list_cores(pool, at)
    if len(cores) > _MOST:
        raise ValueError(
            f"centre {centre} has {len(cores):,} squares, and guided writing lists up to {_MOST:,}: ask for a "
            f"smaller centre"
        )
    return squares_of_cores(centre, cores).reshape(-1, 9)


class _Answers:
    """Sorted answers, none the beginning of another, and what tokens lead from each beginning on."""

    def __init__(self, texts: list[str], trie: Trie, end: int) -> None:
        self.texts = texts
        self.longest = max(map(len, texts))
        self._trie, self._end = trie, end
        self._known: dict[Place, dict[int, Place]] = {}

    def onward(self, place: Place) -> dict[int, Place]:
        """Return, by rising token, every place that one token leads to."""
        first, stop, _ = place
        if stop - first <= _FEW:
            return self._walk(place)
        if place not in self._known:
            self._known[place] = self._walk(place)
        return self._known[place]

    def _walk(self, place: Place) -> dict[int, Place]:
        first, stop, length = place
        if length == len(self.texts[first]):
            return {self._end: place}
        found: dict[int, Place] = {}
        for row in range(first, stop):
            for tokens, end in _along(self._trie, self.texts[row], length):
                for token in tokens:
                    begin = found[token][0] if token in found else row
                    found[token] = begin, row + 1, end
        return dict(sorted(found.items()))


def _along(trie: Trie, text: str, start: int) -> Iterator[tuple[list[int], int]]:
    """Yield the tokens that write what stands in a text from ``start`` on, and where they end."""
    for end in range(start, len(text)):
        if text[end] not in trie:
            return
        tokens, trie = trie[text[end]]
        yield tokens, end + 1


def _trie(tokenizer: PreTrainedTokenizerBase, characters: Sequence[str]) -> Trie:
    """Return the tokens that write nothing but these characters, by what they write within a text.

    Raises ValueError where a character has no token of its own: a text could get stuck before it.
    """
    ids = sorted(set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids))
    # At the beginning of a text some tokenizers leave out white space.
    before = encode_batch(tokenizer, ["0"])[0]
    opening, *texts = tokenizer.batch_decode(
        [before, *([*before, token] for token in ids)], clean_up_tokenization_spaces=False
    )
    root: Trie = {}
    for token, text in zip(ids, texts, strict=True):
        piece = text.removeprefix(opening)
        if not piece or not set(piece) <= set(characters) or text == piece:
            continue
        trie = root
        for character in piece:
            tokens, trie = trie.setdefault(character, ([], {}))
        tokens.append(token)
    missing = next((character for character in characters if not root.get(character, ([],))[0]), None)
    if missing is not None:
        raise ValueError(
            f"the tokenizer has no token for {missing!r} alone, so guided writing could get stuck: leave out "
            f"--guided, or take another model"
        )
    return root
