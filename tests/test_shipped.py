"""The models that come with the package: whole, opened by name, and writing the same in numpy and torch."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aritmo import shipped
from aritmo.asking import Line, Manner, ask
from aritmo.choosing import SamplingConfig
from aritmo.llama import Llama, Text, write_texts
from aritmo.models import open_model, open_tokenizer
from aritmo.sampling import write
from aritmo.shipped import SHIPPED, shipped_folder
from aritmo.tasks import TASKS
from aritmo.tasks.addition import Sum
from aritmo.tasks.squares import Square, Wanted
from aritmo.tasks.squares_search import SYMBOLS

Opened = tuple[PreTrainedModel, PreTrainedTokenizerBase]
SIZE = 40 * 2**20


@pytest.fixture(scope="module")
def adder() -> Opened:
    return open_model("adder", context=2)


def asked(sums: list[tuple[int, int]], style: str | None = None) -> list[dict[str, Any]]:
    return list(ask("addition", [Line("", f"{a}+{b}") for a, b in sums], style=style))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_whole_and_has_a_card(name: str) -> None:
    folder = shipped_folder(name)
    assert {"config.json", "tokenizer.json", "MODEL_CARD.md"} <= {path.name for path in folder.iterdir()}
    assert all(style in TASKS[task].styles for task, style in SHIPPED[name].writes)


def test_all_shipped_models_fit_the_package() -> None:
    root = Path(shipped.__file__).parent
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < SIZE


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shipped_folder("adder"), tmp_path / "adder")
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "__init__.py"))
    weights = tmp_path / "adder" / "model.safetensors"
    assert shipped_folder("adder") == tmp_path / "adder"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"the shipped model adder .* missing or damaged: install aritmo again"):
        open_model("adder")
    weights.unlink()
    with pytest.raises(ValueError, match="missing or damaged"):
        open_model("adder")


numbers = st.integers(1, 40).flatmap(lambda digits: st.integers(0, 10**digits - 1))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
@settings(max_examples=8)
def test_numpy_and_transformers_write_the_same_and_it_is_right(adder: Opened, sums: list[tuple[int, int]]) -> None:
    prompts = [f"${a}+{b}=" for a, b in sums]
    theirs = [
        written.text for written in write(*adder, prompts, SamplingConfig(max_new_tokens=50), progress=False)
    ]
    records = asked(sums)
    assert [record["text"] for record in records] == theirs
    assert [record["answer"] for record in records] == [str(a + b) for a, b in sums]


@pytest.mark.parametrize("digits", [100, 300])
def test_long_sums_come_out_right(digits: int) -> None:
    rng = random.Random(digits)
    sums = [
        (10**digits - 1, 1),
        (rng.randrange(10**digits), 7),
        (rng.randrange(10**digits), rng.randrange(10**digits)),
    ]
    assert [record["answer"] for record in asked(sums)] == [str(a + b) for a, b in sums]


def test_the_cache_changes_nothing_in_transformers(adder: Opened) -> None:
    """Greedy text of the sampling loop, against a loop that reads all again with ids written out by hand."""
    model, tokenizer = adder
    prompt = "$95+6="
    tokens, ids, text = tokenizer(prompt)["input_ids"], [0, 126, 123, 120, 124, 122], ""
    while len(text) < 9:
        with torch.inference_mode():
            logits = model(
                torch.tensor([tokens]), position_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.long), use_cache=False,
            ).logits  # fmt: skip
        token = int(logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        text += tokenizer.decode([token])
        tokens, ids = [*tokens, token], [*ids, ids[-1] + 3]
    (written,) = write(model, tokenizer, [prompt], SamplingConfig(max_new_tokens=9), progress=False)
    assert written.text == text == "101"
    assert written.finished


def test_the_tutor_writes_every_step_of_the_reports_sums() -> None:
    """The first two came out right in the report; in the third its model wrote 80959 for 9."""
    records = asked([(8292, 29039), (67677, 92471), (9, 71421)], "tutorial")
    assert [record["verdict"]["reasons"] for record in records] == [[], [], []]
    assert records[2]["text"].splitlines()[-1] == "9+71421=71430"


def test_the_tutor_writes_the_same_in_transformers() -> None:
    """Each token is the likeliest after those before it, which makes the text the greedy one."""
    rng = random.Random(12)
    sums = [(rng.randrange(10**a), rng.randrange(10**b)) for a, b in ((12, 12), (1, 8), (3, 2))]
    prompts = [TASKS["addition"].prompt(Sum(*numbers), "tutorial") for numbers in sums]
    texts = [record["text"] for record in asked(sums, "tutorial")]
    model, tokenizer = open_model("tutor", context=2)
    for prompt, text in zip(prompts, texts, strict=True):
        begun, whole = (tokenizer(part)["input_ids"] for part in (prompt, prompt + text))
        with torch.inference_mode():
            likeliest = model(torch.tensor([whole])).logits[0].argmax(-1).tolist()
        assert likeliest[len(begun) - 1 :] == [*whole[len(begun) :], tokenizer.eos_token_id]
    (written,) = write(model, tokenizer, prompts[-1:], SamplingConfig(max_new_tokens=400), progress=False)
    assert (written.text, written.finished) == (texts[-1], True)


@pytest.mark.parametrize("style", ["joined", "spaced"])
def test_the_tutor_takes_numbers_apart(style: str) -> None:
    records = ask("decomposition", [Line("", text) for text in ("57", "0", "80959", "1234567")], style=style)
    assert [record["answer"] for record in records] == ["57", "0", "80959", "1234567"]


def squares(*lines: str, **manner: Any) -> list[dict[str, Any]]:
    return list(ask("squares", [Line("", line) for line in lines], manner=Manner(**manner)))


def test_squares_are_written_with_every_step_right() -> None:
    records = squares("59", "1607", "centre 4999")
    assert [record["problem"] for record in records] == ["59", "1607", "4999"]
    assert [record["verdict"]["reasons"] for record in records] == [[], [], []]
    assert records[0]["answer"] == [[17, 89, 71], [113, 59, 5], [47, 29, 101]]
    assert all(record["text"] == TASKS["squares"].completion(problem_of(record), "tutorial") for record in records)


def problem_of(record: dict[str, Any]) -> Square:
    return Square(0, wanted=Wanted(centre=int(record["problem"])))


def test_without_guesses_and_in_transformers_the_square_is_the_same() -> None:
    model, tokenizer = open_model("squares", context=2)
    prompt = TASKS["squares"].prompt(Square(0, wanted=Wanted(centre=59)), "tutorial")
    (theirs,) = write(model, tokenizer, [prompt], SamplingConfig(max_new_tokens=150), progress=False)
    (bare,) = write_texts(Llama.open(shipped_folder("squares")), [Text(tokenizer(prompt)["input_ids"], 150)])
    assert squares("59")[0]["text"] == theirs.text == tokenizer.decode(bare)
    assert theirs.finished


def test_the_shipped_symbols_are_those_of_the_task() -> None:
    tokenizer = open_tokenizer("squares")
    assert tokenizer.convert_ids_to_tokens(list(range(len(SYMBOLS)))) == SYMBOLS


def test_the_model_knows_the_primes() -> None:
    lines = [Line("", str(number)) for number in (2, 7919, 7917, 9973, 9991, 1, 0)]
    records = list(ask("primality", lines))
    assert [record["answer"] for record in records] == [True, True, False, True, False, False, False]
    assert all(record["verdict"]["valid"] for record in records)
