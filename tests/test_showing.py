"""Examples with their tokens: the pieces make up the text, and what is learned from is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from aritmo.corpus import CorpusConfig, build_corpus
from aritmo.showing import show_examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = CorpusConfig(task="decomposition", count=40)
    return build_corpus(config, tmp_path_factory.mktemp("showing") / "c", workers=0).folder


@pytest.mark.parametrize("loss_on", ["completion", "text"])
def test_pieces_make_up_the_text_and_what_is_learned_is_told(folder: Path, loss_on: str) -> None:
    shown = list(show_examples(folder, "test", 3, "digits", loss_on))
    assert len(shown) == 3
    for example in shown:
        written = "".join(piece for piece, _ in example["tokens"])
        assert written.startswith(example["prompt"] + example["completion"])
        learned = "".join(piece for piece, is_learned in example["tokens"] if is_learned)
        assert learned.startswith(example["completion"]) == (loss_on == "completion")
        assert len(learned) <= len(written)


def test_the_tasks_own_tokens_need_no_torch(folder: Path) -> None:
    code = f"from aritmo.showing import show_examples; from pathlib import Path; folder = Path({str(folder)!r}); "
    code += "import sys; list(show_examples(folder, 'test', 2, 'pairs', 'text')); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_mistakes_are_one_sentence(folder: Path) -> None:
    with pytest.raises(ValueError, match="loss_on: got 'all', allowed completion, text"):
        next(show_examples(folder, "test", 1, "digits", "all"))
    with pytest.raises(ValueError, match="split: got 'exam'"):
        next(show_examples(folder, "exam", 1, "digits", "text"))
