"""The recipe of squares at toy size: its streams, its learner, and what it says of the model that it made."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from aritmo import asking
from aritmo.asking import Line, ask, is_searcher
from aritmo.numbers.randomness import split_of
from aritmo.recipes import squares_measure
from aritmo.recipes.siblings import NOT_ASKED, Batch
from aritmo.recipes.squares import FULL, TOY
from aritmo.recipes.squares_learner import LlamaLearner, Muon, attend_stream, losses, orthogonal
from aritmo.recipes.squares_measure import (
    CARD,
    MEASURED,
    Measure,
    ask_any,
    ask_centres,
    card,
    is_trained,
    tell,
)
from aritmo.tasks.squares_documents import BEGIN, KINDS
from aritmo.tasks.squares_search import SYMBOLS

CPU = torch.device("cpu")
TOLD: dict[str, Any] = {
    "recipe": "squares", "seed": 3, "steps": 12, "minutes": 2.5, "device": "CPU", "torch": "2", "ended": "time",
    "updates": 7, "tokens": 4096, "seconds": 150.2, "loss": 0.123456, "wrong": 0.5,
}  # fmt: skip


def first(count: int, seed: int = 0, processes: int = 0) -> list[Batch]:
    batches = TOY.batches(seed, CPU, processes, lambda: 0.0)
    found = [next(batches) for _ in range(count)]
    batches.close()
    return found


def test_streams_hold_whole_documents_and_ask_what_their_steps_say() -> None:
    for batch in first(6):
        assert batch.kinds is not None
        assert batch.tokens.shape == batch.labels.shape == batch.kinds.shape == (1, TOY.stream)
        assert len(batch.ends) == TOY.texts + 1
        borders = sorted(set(batch.ends.tolist()))
        assert (borders[0], borders[-1]) == (0, TOY.stream)
        for start, stop in pairwise(borders):
            tokens, labels, kinds = (
                part[0, start:stop].tolist() for part in (batch.tokens, batch.labels, batch.kinds)
            )
            assert tokens[0] == BEGIN
            assert batch.positions[0, start:stop].tolist() == list(range(stop - start))
            assert stop - start <= batch.longest
            for token, label, kind in zip([*tokens[1:], None], labels, kinds, strict=True):
                assert label == (NOT_ASKED if kind == 0 else token)


def test_streams_are_the_same_whichever_process_draws_them() -> None:
    here, there = first(3), first(3, processes=1)
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    assert not torch.equal(here[0].tokens, first(1, seed=1)[0].tokens)


def test_a_row_is_full_even_where_documents_are_many() -> None:
    """With room for three documents those are taken that fill the row."""
    batches = replace(TOY, texts=3, asked=0.9, stream=512).batches(0, CPU, 0, lambda: 0.0)
    for _ in range(3):
        batch = next(batches)
        assert len(batch.ends) == 4
        assert batch.ends[-1] == 512


def test_the_full_recipe_makes_the_model_that_is_known() -> None:
    model = FULL.model(0)
    assert sum(p.numel() for p in model.parameters()) == 10_935_168
    assert model.config.vocab_size == len(SYMBOLS) == 408
    assert not torch.equal(FULL.model(1).lm_head.weight, model.lm_head.weight)
    assert torch.equal(FULL.model(0).lm_head.weight, model.lm_head.weight)


def test_losses_are_those_of_transformers_for_each_document_alone() -> None:
    model, batch = TOY.model(0), first(1)[0]
    each, right = losses(model, batch)
    for start, stop in pairwise(sorted(set(batch.ends.tolist()))):
        with torch.no_grad():
            logits = model(batch.tokens[:, start:stop]).logits[0]
        labels = batch.labels[0, start:stop]
        torch.testing.assert_close(each[0, start:stop], functional.cross_entropy(logits, labels, reduction="none"))
        assert torch.equal(right[0, start:stop], logits.argmax(-1) == labels)


def test_what_a_document_sees_stays_in_it() -> None:
    ends = torch.tensor([0, 3, 3, 7, 7], dtype=torch.int32)
    states = [torch.randn(7, 2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    seen = attend_stream(ends, 4)(*states)
    states[2][3:] += 1
    again = attend_stream(ends, 4)(*states)
    assert torch.equal(seen[:3], again[:3])
    assert not torch.equal(seen[3:], again[3:])
    torch.testing.assert_close(seen[3] + 1, again[3])


@pytest.mark.parametrize("shape", [(2, 8, 24), (1, 24, 8), (3, 16, 16)])
def test_what_is_made_orthogonal_has_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrices).float())
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_moves_each_matrix_against_its_gradient_in_steps_of_one_size() -> None:
    matrices = [torch.zeros(6, 9), torch.zeros(9, 6), torch.zeros(6, 9)]
    for number, matrix in enumerate(matrices):
        matrix.grad = torch.randn(matrix.shape, generator=torch.Generator().manual_seed(number))
    Muon(matrices, decay=0.0).step(0.1)
    for matrix in matrices:
        assert matrix.grad is not None
        assert (matrix * matrix.grad).sum() < 0
        # A root of the rank of singular values near one, times 0.2 * sqrt(9) * 0.1.
        assert 0.6 < matrix.norm() / (6**0.5 * 0.06) < 1.2


def test_the_learner_learns_a_batch_and_says_how_by_kind() -> None:
    learner, batch = LlamaLearner(TOY.model(0), TOY.course, CPU), first(1)[0]
    before, _ = learner.read(batch)
    for _ in range(30):
        loss = learner.update(batch, 0.0)
    each, right = learner.read(batch)
    assert loss.shape == (1,)
    assert float(each.sum()) < 0.8 * float(before.sum())
    kinds = TOY.look(batch, each, right)["kinds"]
    assert batch.kinds is not None
    assert set(kinds) == {KINDS[kind] for kind in set(batch.kinds.flatten().tolist())} - {KINDS[0]}
    at = batch.kinds == KINDS.index("mirror")
    assert kinds["mirror"] == pytest.approx([each[at].mean().item(), (~right)[at].float().mean().item()], abs=1e-4)


def test_the_last_layer_is_sharpened() -> None:
    model = TOY.model(0)
    before = model.lm_head.weight.clone()
    tokenizer = TOY.finish(model)
    torch.testing.assert_close(model.lm_head.weight, 1.5 * before)
    assert tokenizer.convert_ids_to_tokens(list(range(len(SYMBOLS)))) == SYMBOLS


def test_which_squares_may_be_in_training() -> None:
    first_of = {c: record["answer"] for c, record in ((c, answer(c)) for c in (59, 1607, 4999))}
    flat = {c: tuple(cell for row in rows for cell in row) for c, rows in first_of.items()}
    assert {c: is_trained(cells) for c, cells in flat.items()} == {
        c: split_of("squares", str(c)) == "train" for c in flat
    }


def answer(centre: int) -> dict[str, Any]:
    return next(iter(ask("squares", [Line("", str(centre))])))


def test_the_shipped_model_is_measured_as_any_other() -> None:
    found = ask_centres("squares", 3, "test", Measure(centres=3))  # type: ignore[arg-type]
    assert (found["valid"]["count"], found["steps"]["of"], found["there are"], found["mistakes"]) == (
        3,
        3,
        112,
        {},
    )


def test_squares_by_lot_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter(["Centre 59'0" + text_of(59), "Centre 59'0" + text_of(59), "nothing"])
    monkeypatch.setattr(asking._Searcher, "write", lambda self, problems, *_: [next(texts) for _ in problems])
    found = ask_any("squares", Measure(drawn=3))  # type: ignore[arg-type]
    assert (found["valid"]["count"], found["steps"]["count"], found["different"]) == (2, 2, 1)


def text_of(centre: int) -> str:
    return str(answer(centre)["text"])


def test_the_clock_ends_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squares_measure, "_TOGETHER", 1)
    monkeypatch.setattr(squares_measure, "cores", lambda: 2)
    found = ask_centres("squares", 3, "validation", Measure(minutes=0))  # type: ignore[arg-type]
    assert (found["valid"]["of"], found["there are"]) == (2, 116)


def test_a_stopped_model_is_not_measured_but_has_a_card(tmp_path: Path) -> None:
    tell(tmp_path, TOLD | {"ended": "stopped"}, Measure())
    assert not (tmp_path / MEASURED).exists()
    assert "\n\nNot measured.\n" in (tmp_path / CARD).read_text()


def test_the_card_says_what_repeats_the_training_and_what_came_out() -> None:
    shares = {"valid": {"count": 9, "of": 10, "low": 0.5958, "high": 0.9821}, "steps": {"count": 8, "of": 10, "low": 0.4902, "high": 0.9433}}  # fmt: skip  # noqa: E501
    text = card(TOLD, [{"order": 5, "split": "test", "there are": 65, **shares}])
    assert "`aritmo train --recipe squares --out RUN --seed 3 --steps 12 --minutes 2.5`" in text
    assert "| order 5, test centres (65 there are) | 9 of 10 (59.6 to 98.2 %) | 8 of 10 (49.0 to 94.3 %) |" in text


def test_folders_of_the_recipe_are_read_in_numpy(tmp_path: Path) -> None:
    assert is_searcher("squares")
    assert not is_searcher("adder")
    assert not is_searcher(str(tmp_path))
    for content, told in (("[]", False), ('{"recipe": "tutor"}', False), ("{", False), (json.dumps(TOLD), True)):
        (tmp_path / "recipe.json").write_text(content)
        assert is_searcher(str(tmp_path)) == told
