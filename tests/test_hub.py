import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socket import create_server
from threading import Thread
from unittest.mock import Mock

import pytest

from aritmo import hub
from aritmo.models import open_model, open_tokenizer


class _Nothing(BaseHTTPRequestHandler):
    """A Hub that knows no model: it answers 404 to all, and keeps what it was asked for."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("http_proxy", raising=False)
    hub._answers.cache_clear()
    yield
    hub._answers.cache_clear()


@pytest.fixture
def server(online: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    handler = type("Handler", (_Nothing,), {"asked": []})
    serving = HTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{serving.server_port}")
    Thread(target=serving.serve_forever, daemon=True).start()
    yield handler.asked
    serving.shutdown()
    serving.server_close()


def test_no_hub_is_noticed_at_once_and_said_once(
    online: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Nothing) as closed:
        nobody = f"http://127.0.0.1:{closed.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nobody)
    asking = Mock(wraps=hub.urlopen)
    monkeypatch.setattr(hub, "urlopen", asking)
    with caplog.at_level(logging.WARNING):
        for opens in (open_model, open_tokenizer):
            with pytest.raises(ValueError, match=f"{nobody} does not answer, .* or give a folder") as caught:
                opens("nobody/nothing")
            assert "\n" not in str(caught.value)
    assert asking.call_count == 1
    assert "Retry" not in caplog.text


def test_a_hub_that_answers_is_asked_for_the_model(server: list[str]) -> None:
    assert not hub.local_only("nobody/nothing")
    assert server == ["HEAD /"]
    assert "no such model" in str(hub.not_there("nobody/nothing"))


def test_what_answers_no_http_is_no_hub(online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{other.getsockname()[1]}")

        def answer() -> None:
            asking, _ = other.accept()
            with asking:
                asking.recv(4096)
                asking.sendall(b"220 mail, not pages\r\n")

        Thread(target=answer, daemon=True).start()
        assert hub.local_only("nobody/nothing")


def test_a_folder_is_never_asked_for(server: list[str], tmp_path: Path) -> None:
    assert hub.local_only(str(tmp_path))
    assert server == []
