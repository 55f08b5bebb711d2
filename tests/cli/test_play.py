"""``aritmo play`` from the command line: what it refuses in a sentence, and that it begins and ends."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

gradio = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="gradio is not installed")


def test_without_its_extra_the_sentence_says_what_to_install(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("aritmo.play.serving.find_spec", lambda name: None if name == "gradio" else found(name))
    code, out, err = command("play")
    assert (code, out) == (2, "")
    assert err == "aritmo: the playground needs gradio, which is not installed: pip install 'aritmo[play]'\n"


@gradio
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], "there is no model nowhere: give a run, a folder or one of adder, tutor, squares"),
        (["adder", "--task", "bogus"], "task: got 'bogus'"),
        (["--host", "0.0.0.0"], "0.0.0.0 is open to the network: add --share-on-network"),
        (["--host", "0.0.0.0", "--share-on-network"], "set ARITMO_PLAY_PASSWORD, or start it at a terminal"),
        (["--host", "nonsense"], "host: got 'nonsense'"),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_wrong_use_is_one_sentence(command: Callable[..., Any], words: list[str], sentence: str) -> None:
    code, out, err = command("play", "--no-browser", *words)
    assert (code, out) == (2, "")
    assert sentence in err.splitlines()[-1]
    assert "Traceback" not in err


@gradio
def test_a_short_password_is_refused(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARITMO_PLAY_PASSWORD", "short")
    code, _, err = command("play", "--share-on-network", "--host", "0.0.0.0")
    assert code == 2
    assert "at least 8 characters" in err


@gradio
def test_a_port_in_use_is_told(command: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = command("play", "--port", str(port))
    assert code == 2
    assert f"port {port} of 127.0.0.1 cannot be had" in err
    assert "give another with --port" in err


@gradio
def test_it_serves_and_ends_when_it_is_told_to() -> None:
    words = [sys.executable, "-m", "aritmo", "play", "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("aritmo play: http://127.0.0.1:")
            request = Request(line.split()[2], headers={"Accept-Language": "en"})
            with urlopen(request, timeout=60) as page:
                assert b"aritmo play" in page.read()
            os.kill(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
