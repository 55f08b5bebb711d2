"""An example of a corpus with the borders of its tokens, and what of it the model learned."""

from dataclasses import dataclass

from aritmo.corpus import Corpus
from aritmo.numbers.randomness import Split
from aritmo.report.parts import Part
from aritmo.tokens import learned_pieces

_MOST_TOKENS = 220


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one token, and whether training counted its loss."""

    text: str
    learned: bool


@dataclass(frozen=True, slots=True)
class Example:
    """The first tokens of an example, how many it has in all, and how many characters that is."""

    pieces: list[Piece]
    tokens: int
    characters: int


def token_example(part: Part) -> Example | None:
    """Return a training example as the model of a part saw it, None where corpus or tokenizer is not there."""
    if part.home is None or part.tokenizer is None:
        return None
    # Loads torch and transformers, which a page without such an example, and who only reads verdicts, need not.
    from aritmo.models import open_tokenizer

    try:
        split: Split = "train"
        example = Corpus(part.home).examples(split, 1)[0]
        tokenizer = open_tokenizer(str(part.tokenizer))
        training = part.config.get("training")
        whole = isinstance(training, dict) and training.get("loss_on") == "text"
        pieces = learned_pieces(tokenizer, example.prompt, example.completion, whole)
    except (ValueError, OSError, IndexError, KeyError, TypeError):
        part.missing.append(f"{part.folder.name}: its corpus or its tokenizer cannot be opened")
        return None
    shown = [Piece(text, learned) for text, learned in pieces[:_MOST_TOKENS]]
    return Example(shown, len(pieces), len(example.text))
