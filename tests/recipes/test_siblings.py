"""Models that learn side by side: what transformers computes, and each as if it were alone."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from aritmo.recipes.siblings import NOT_ASKED, Batch, Course, Siblings, attend_texts, forward

CPU = torch.device("cpu")
LENGTHS = [[3, 5, 4], [6, 1, 5]]
LONGEST, WIDTH, KNOWN = 6, 12, 11


def fresh(seed: int) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    shape = {"vocab_size": KNOWN, "n_positions": 8, "n_embd": 16, "n_layer": 2, "n_head": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(**shape, **ends, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)).eval()


def batch_of(rows: list[int]) -> Batch:
    """Return the given rows of two, each three texts of random tokens, every token but a text's first asked."""
    rng = torch.Generator().manual_seed(5)
    tokens = torch.randint(0, KNOWN, (2, WIDTH), generator=rng)[rows]
    positions, labels, ends = torch.zeros_like(tokens), torch.full_like(tokens, NOT_ASKED), [0]
    for row, which in enumerate(rows):
        start = 0
        for length in LENGTHS[which]:
            positions[row, start : start + length] = torch.arange(length)
            labels[row, start : start + length - 1] = tokens[row, start + 1 : start + length]
            start += length
            ends.append(row * WIDTH + start)
    return Batch(tokens, positions, labels, torch.tensor(ends, dtype=torch.int32), LONGEST)


def test_every_text_is_read_as_transformers_reads_it_alone() -> None:
    models = [fresh(0), fresh(1)]
    siblings = Siblings(models, Course(), CPU)
    batch = batch_of([0, 1])
    logits = forward(
        siblings.weights, 2, batch.tokens, batch.positions, attend_texts(batch.ends, batch.longest)
    ).detach()
    for row, model in enumerate(models):
        start = 0
        for length in LENGTHS[row]:
            with torch.no_grad():
                alone = model(batch.tokens[row : row + 1, start : start + length]).logits[0]
            torch.testing.assert_close(logits[row, start : start + length], alone, atol=1e-5, rtol=1e-4)
            start += length


def test_a_model_learns_the_same_beside_another_and_alone() -> None:
    """One of the two is clipped hard by its large weights, which must not touch the other."""
    course = Course(rate=0.01, warmup=2, decay=0.1, clip=0.05)
    together = Siblings([fresh(0), fresh(1)], course, CPU)
    alone = [Siblings([fresh(seed)], course, CPU) for seed in (0, 1)]
    for update in range(4):
        losses = together.update(batch_of([0, 1]), update / 4)
        own = [one.update(batch_of([row]), update / 4) for row, one in enumerate(alone)]
        torch.testing.assert_close(losses, torch.cat(own), atol=1e-5, rtol=1e-4)
    for row, one in enumerate(alone):
        ours, theirs = (dict(some.named_parameters()) for some in (together.model(row), one.model(0)))
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], atol=2e-4, rtol=1e-3)


def test_the_loss_falls_and_the_first_loss_is_the_mean_over_what_is_asked() -> None:
    model, batch = fresh(3), batch_of([0])
    siblings = Siblings([model], Course(rate=0.02, warmup=1), CPU)
    total, asked, start = 0.0, 0, 0
    for length in LENGTHS[0]:
        text = batch.tokens[:, start : start + length]
        with torch.no_grad():
            total += float(model(text, labels=text).loss) * (length - 1)
        asked, start = asked + length - 1, start + length
    first = siblings.update(batch, 0.0)
    assert first.item() == pytest.approx(total / asked, rel=1e-4)
    for _ in range(60):
        last = siblings.update(batch, 0.0)
    assert last.item() < 0.2 * first.item()
    loss, right = siblings.read(batch)
    assert loss.shape == (1,)
    assert bool(right[batch.labels != NOT_ASKED].all())
    assert not right[batch.labels == NOT_ASKED].any()
