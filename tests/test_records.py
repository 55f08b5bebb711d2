"""Record files: what is written comes back, whatever moment a writer was stopped at."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aritmo.records import read_jsonl, write_samples

_NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
_RECORDS = st.lists(st.dictionaries(st.text(), _VALUES, max_size=4), max_size=5)


@given(_RECORDS)
def test_records_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    path = tmp_path_factory.mktemp("records") / "samples.jsonl"
    assert write_samples(path, records) == len(records)
    assert list(read_jsonl(path)) == records


@given(_RECORDS.filter(bool), st.data())
def test_a_file_torn_anywhere_reads_and_grows(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "samples.jsonl"
    write_samples(path, records)
    whole = path.read_bytes()
    torn = whole[: data.draw(st.integers(0, len(whole)))]
    path.write_bytes(torn)
    # A record whose newline alone is lost is still whole.
    complete = torn.count(b"\n") + (torn + b"\n" in [whole[: i + 1] for i in range(len(whole)) if whole[i] == 10])
    assert list(read_jsonl(path)) == records[:complete]
    write_samples(path, [{"after": True}])
    assert list(read_jsonl(path)) == [*records[:complete], {"after": True}]
    assert path.read_bytes().endswith(b"\n")


def test_a_long_torn_line_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a": 1}\n{"text": "' + b"x" * 200_000)
    write_samples(path, [{"b": 2}])
    assert path.read_bytes() == b'{"a": 1}\n{"b": 2}\n'


def test_each_record_is_there_before_the_next_is_made(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"

    def records() -> Any:
        for index in range(3):
            assert [record["index"] for record in read_jsonl(path)] == list(range(index))
            yield {"index": index}

    assert write_samples(path, records()) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"not json", "no JSON in 'not json'"),
        (b"[1, 2]", "a JSON list in place of an object"),
        (b'{"a": NaN}', "no JSON in"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON in"),
        (b"\xff\xfe\x00", "no JSON in"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"samples\.jsonl, line 3: ") as caught:
        list(read_jsonl(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_samples(path, [{"step": 1}, {"loss": float("nan")}])
    assert json.loads(path.read_text()) == {"step": 1}
