"""The real verifiers: an environment of 0.3 asked through an endpoint, a taskset of 0.4 validated and scored."""

import asyncio
import contextlib
import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import aritmo
from aritmo.numbers.randomness import split_of
from aritmo.tasks import TASKS

if find_spec("verifiers") is None:
    pytest.skip("verifiers is not installed", allow_module_level=True)

NEW = tuple(map(int, version("verifiers").split(".")[:2])) >= (0, 4)
classic = pytest.mark.skipif(NEW, reason="verifiers 0.4 has no environments any more")
current = pytest.mark.skipif(not NEW, reason="tasksets came with verifiers 0.4")
STYLES = [(task.name, style) for task in TASKS.values() for style in task.styles]


def answered(prompt: str, style: str) -> str:
    """Return a right answer to every other prompt, and a wrong one to the rest."""
    task = TASKS["decomposition"]
    problem = task.read_prompt(prompt, style)
    return task.completion(problem, style) if problem % 2 else "I do not know."


@pytest.fixture
def endpoint() -> Iterator[str]:
    """An endpoint of the chat API that answers the last message."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = answered(asked["messages"][-1]["content"], "spaced")
            message = {"role": "assistant", "content": text}
            body = {
                "id": "1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }  # fmt: skip
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@classic
@pytest.mark.filterwarnings("ignore")
def test_an_environment_is_loaded_by_name_and_scores_exactly(endpoint: str) -> None:
    import verifiers as vf
    from verifiers.types import ClientConfig

    given = {"task": "decomposition", "style": "spaced", "count": 30, "eval_count": 20, "shots": 2}
    environment = vf.load_environment("aritmo", **given)
    for data, split in ((environment.get_dataset(), "train"), (environment.get_eval_dataset(), "validation")):
        assert {split_of("decomposition", row["info"]["aritmo"]["family"]) for row in data} == {split}
        for row in data:
            roles = [message["role"] for message in row["prompt"]]
            assert roles in (["system"] + ["user", "assistant"] * k + ["user"] for k in (1, 2))
            assert row["prompt"][-1]["content"] == row["info"]["aritmo"]["prompt"]
    client = ClientConfig(api_key_var="NONE", api_base_url=endpoint)
    results = environment.evaluate_sync(client, "m", num_examples=20, rollouts_per_example=1, save_results=False)
    outputs = results["outputs"]
    assert len(outputs) == 20
    rewards = [output["reward"] for output in outputs]
    expected = [float(int(output["info"]["aritmo"]["key"]) % 2) for output in outputs]
    assert rewards == expected
    assert 0 < sum(rewards) < 20
    assert [output["metrics"]["answered"] for output in outputs] == expected
    assert {"valid", "parsed", "answered"} <= set(outputs[0]["metrics"])


@classic
def test_an_environment_refuses_in_one_sentence() -> None:
    for given, sentence in (
        ({"task": "sums"}, "task: got 'sums'"),
        ({"measure": "nearly"}, "measure: got 'nearly'"),
        ({"order": 3}, "order: task addition reads style"),
        ({"eval_split": "dev"}, "split: got 'dev'"),
        ({"task": "decomposition", "max_digits": 1, "count": 0}, "size: got 0"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            aritmo.load_environment(**given)


def scored(task: Any, text: str) -> Any:
    """Return the trace of one reply to a task, scored by verifiers."""
    import verifiers.v1 as vf
    from verifiers.v1.trace import TraceTask

    trace = vf.Trace(
        task=TraceTask(type=type(task).__name__, data=task.data),
        agent=vf.AgentInfo(config=vf.AgentConfig(runtime=vf.SubprocessConfig())),
        nodes=[vf.MessageNode(message=vf.AssistantMessage(content=text), sampled=True)],
    )
    asyncio.run(task.score(trace))
    return trace


@current
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "style"), STYLES)
def test_a_taskset_scores_exactly(kind: str, style: str) -> None:
    from aritmo.bridges.verifiers_taskset import AritmoConfig, AritmoTaskset

    more = {"below": 2000} if kind == "squares" else {}
    for split in ("train", "test"):
        tasks = list(AritmoTaskset(AritmoConfig(kind=kind, style=style, split=split, count=3, **more)))
        assert [task.data.idx for task in tasks] == [0, 1, 2]
        for task in tasks:
            assert split_of(kind, task.data.meta["family"]) == split
            right = scored(task, task.data.answer)
            assert right.rewards["exact"].value == right.metrics["valid"] == 1.0
            assert scored(task, f"Sure! {task.data.answer}").rewards["exact"].value == 0.0
    tagged = next(
        iter(AritmoTaskset(AritmoConfig(kind=kind, style=style, count=1, tag="answer", shots=2, **more)))
    )
    assert "<answer>...</answer>" in tagged.data.system_prompt
    assert tagged.data.prompt.endswith(tagged.data.asked)
    assert scored(tagged, f"Well. <answer>{tagged.data.answer}</answer>").rewards["exact"].value == 1.0
    assert scored(tagged, tagged.data.answer).rewards["exact"].value == 0.0


@current
@pytest.mark.filterwarnings("ignore")
def test_verifiers_own_command_finds_and_validates_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gold check judges aritmo's own answers, its no-op check sees that no reply is no success."""
    from verifiers.v1.cli.validate import main

    words = ["aritmo", "--taskset.kind", "primality", "--taskset.count", "4", "--runtime.type", "subprocess"]
    monkeypatch.setattr(sys, "argv", ["vf-validate", *words, "--no-rich", "-o", str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SystemExit):
        main()
    (summary,) = tmp_path.glob("*/summary.json")
    checks = json.loads(summary.read_text())["checks"]
    assert (checks["gold"]["valid"], checks["noop"]["valid"]) == (4, 4)


@current
def test_a_taskset_refuses_in_one_sentence() -> None:
    from aritmo.bridges.verifiers_taskset import AritmoConfig, AritmoTaskset

    for given, sentence in (
        ({"kind": "sums"}, "task: got 'sums'"),
        ({"kind": "primality", "below": 5}, "below: task primality reads style"),
        ({"split": "dev"}, "split: got 'dev'"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            list(AritmoTaskset(AritmoConfig(**given)))


@current
def test_the_classic_name_says_what_to_do() -> None:
    with pytest.raises(ImportError, match=re.escape("verifiers 0.4 has no environments: take 0.3")):
        _ = aritmo.load_environment
