"""What the adder is trained on: right sums, on ids of their own, which are those of ``positions``."""

import pytest
import torch

from aritmo.positions import lay_out
from aritmo.recipes.adder import BEGIN, END, PLUS, ROLES, SYMBOLS, add_digits, draw_rows, symbol_tokenizer
from aritmo.recipes.siblings import NOT_ASKED

ROWS, WIDTH, IDS, DIGITS = 12, 200, 60, 6


def rows(seed: int = 0) -> tuple[list[list[int]], ...]:
    return tuple(x.tolist() for x in draw_rows(ROWS, WIDTH, IDS, DIGITS, torch.Generator().manual_seed(seed)))


def whole_sums(tokens: list[int], ids: list[int]) -> list[tuple[int, int]]:
    """Return where sums that still have their symbols begin and stop in a row."""
    found = []
    for at, token in enumerate(tokens):
        if token == PLUS:
            start = at
            while ids[start - 1] == ids[start] + ROLES:
                start -= 1
            found.append((start, tokens.index(END, at) + 1))
    return found


def test_sums_are_right_and_only_the_answer_is_asked() -> None:
    count = 0
    for tokens, ids, labels in zip(*rows(), strict=True):
        assert tokens[0] == BEGIN
        for start, stop in whole_sums(tokens, ids):
            text = "".join(SYMBOLS[token] for token in tokens[start : stop - 1])
            a, rest = text.split("+")
            b, answer = rest.split("=")
            assert 0 < len(a) <= DIGITS
            assert 0 < len(b) <= DIGITS
            count += 1
            assert answer == str(int(a) + int(b))[::-1]
            equals = start + text.index("=")
            assert labels[start:equals] == [NOT_ASKED] * (equals - start)
            assert labels[equals : stop - 1] == tokens[equals + 1 : stop]
    assert count > 50


def test_ids_are_those_of_positions_but_for_the_place_of_the_sum() -> None:
    count = 0
    for tokens, ids, _ in zip(*rows(1), strict=True):
        if not (found := whole_sums(tokens, ids)):
            continue  # a row of bare digits
        start, stop = found[0]
        prompt = "$" + "".join(SYMBOLS[token] for token in tokens[start : stop - 1]).split("=")[0] + "="
        layout = lay_out(prompt, len(prompt), 3 * 1_000, ROLES)
        there, here = layout.ids[1:], ids[start : start + len(prompt) - 1]
        assert len({a - b for a, b in zip(there, here, strict=True)}) == 1
        answer = ids[start + len(prompt) - 1 : stop]
        assert answer == [here[-1] + (k + 1) * layout.stride for k in range(len(answer))]
        count += 1
    assert count > 3


def test_no_two_sums_of_a_row_share_a_place() -> None:
    for tokens, ids, _ in zip(*rows(2), strict=True):
        taken: set[int] = set()
        for start, stop in whole_sums(tokens, ids):
            places = {id // ROLES for id in ids[start:stop]}
            assert not places & taken
            taken |= places
        assert max(taken, default=0) < IDS


@pytest.mark.parametrize(("a", "b"), [(999, 1), (0, 0), (95, 6), (123, 877), (5, 4), (500, 500)])
def test_digits_are_added_with_their_carries(a: int, b: int) -> None:
    digits = [torch.tensor([int(d) for d in f"{n:04d}"[::-1]])[None] for n in (a, b)]
    length = torch.tensor([[max(len(str(a)), len(str(b)))]])
    out, long = add_digits(*digits, length)
    answer = "".join(map(str, out[0].tolist()))[: int(long)]
    assert answer[::-1] == str(a + b)


def test_the_tokenizer_is_that_of_the_shipped_adder() -> None:
    from aritmo.models import open_tokenizer

    ours, shipped = symbol_tokenizer(), open_tokenizer("adder")
    text = "$8292+29039=13373"
    assert ours(text)["input_ids"] == shipped(text)["input_ids"]
    assert (ours.eos_token_id, ours.bos_token_id) == (shipped.eos_token_id, shipped.bos_token_id) == (END, BEGIN)
    assert ours.decode(ours(text)["input_ids"]) == text
