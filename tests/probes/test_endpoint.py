"""A model behind an address, asked over a real connection: up, down, slow, limited, and answering garbage."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aritmo.probes.endpoint import Endpoint, Manners, is_address, split_address
from aritmo.probes.prompts import PROBES

QUICK = Manners(parallel=3, timeout=5, retries=3, wait=0.01, most=0.05)
ITEMS = PROBES["joined"].items(0, (2,), 6)
RIGHT = {item.prompt: item.right for item in ITEMS}


class Server:
    """A server whose answers a test chooses: ``answer(path, body)`` returns status, headers and body."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.answer: Callable[[str, dict[str, Any]], tuple[int, dict[str, str], bytes]] = completed
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.reply(json.loads(body) if body else {})

            def do_GET(self) -> None:
                self.reply({})

            def reply(self, body: dict[str, Any]) -> None:
                with outer.lock:
                    outer.asked.append((self.path, body, dict(self.headers)))
                status, headers, content = outer.answer(self.path, body)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    if "Content-Length" not in headers:
                        self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # who asked has gone

            def log_message(self, format: str, *args: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def first(self, count: int, answer: Callable[..., tuple[int, dict[str, str], bytes]]) -> None:
        """Answer the first ``count`` questions so, and then as it should be."""
        left = [count]

        def both(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
            with self.lock:
                left[0] -= 1
                now = left[0] >= 0
            return answer(path, body) if now else completed(path, body)

        self.answer = both


def told(value: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def completed(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    if path.endswith("/models"):
        return told({"data": [{"id": "only"}]})
    if path.endswith("/chat/completions"):
        asked = body["messages"][0]["content"]
        return told({"choices": [{"message": {"content": RIGHT[asked.partition("\n\n")[2]]}}]})
    return told({"choices": [{"text": RIGHT[body["prompt"]]}]})


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def ask(server: Server, manners: Manners = QUICK, **options: Any) -> list[str]:
    return list(Endpoint(f"{server.address}#NAME", manners=manners, **options).write(ITEMS, 0.5, 11))


WANTED = [item.right for item in ITEMS]


def test_completions_are_asked_for_and_come_in_order(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    assert ask(server, key_variable="MY_KEY") == WANTED
    assert {path for path, *_ in server.asked} == {"/v1/completions"}
    assert {headers["Authorization"] for *_, headers in server.asked} == {"Bearer secret"}
    bodies = [body for _, body, _ in server.asked]
    assert {body["model"] for body in bodies} == {"NAME"}
    assert {body["temperature"] for body in bodies} == {0.5}
    assert all(body["stop"] == ["###"] and body["max_tokens"] > len("3\ntens->4\n") for body in bodies)
    assert len({body["seed"] for body in bodies}) == len(ITEMS)
    seeds = {body["prompt"]: body["seed"] for body in bodies}
    server.asked.clear()
    assert ask(server) == WANTED
    assert {body["prompt"]: body["seed"] for _, body, _ in server.asked} == seeds
    assert all("Authorization" not in headers for *_, headers in server.asked)


def test_a_chat_is_asked_where_it_has_to_be(server: Server) -> None:
    assert ask(server, chat=True) == WANTED
    assert {path for path, *_ in server.asked} == {"/v1/chat/completions"}


def test_the_only_model_needs_no_name(server: Server) -> None:
    endpoint = Endpoint(server.address, manners=QUICK)
    assert (endpoint.model, endpoint.account()["served_as"]) == ("only", "only")
    server.answer = lambda path, body: told({"data": [{"id": "a"}, {"id": "b"}]})
    with pytest.raises(ValueError, match=r"serves 2 models \(a, b\): name one, as http.*/v1#NAME"):
        Endpoint(server.address, manners=QUICK)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda path, body: (503, {}, b"busy"),
        lambda path, body: (429, {"Retry-After": "0"}, b"{}"),
        lambda path, body: (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"{}"),
        lambda path, body: (200, {}, b"<html>proxy</html>"),
        lambda path, body: (200, {}, b""),
        lambda path, body: (200, {}, b"\xff\xfe{"),
        lambda path, body: told({"choices": []}),
        lambda path, body: told({"choices": [{"text": None}]}),
        lambda path, body: told([1, 2]),
        lambda path, body: (200, {"Content-Length": "1000"}, b'{"choices"'),
    ],
    ids=["503", "429", "429 with a date", "html", "empty", "no text", "no choice", "null", "list", "cut off"],
)
def test_what_may_pass_is_asked_again(server: Server, trouble: Any) -> None:
    server.first(3, trouble)
    # An answer that is shorter than it says leaves the connection open until it is given up.
    assert ask(server, Manners(parallel=3, timeout=0.5, retries=3, wait=0.01, most=0.05)) == WANTED
    assert len(server.asked) == len(ITEMS) + 3


def test_an_address_that_asks_to_wait_is_waited_for_by_all(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.first(1, lambda path, body: (429, {"Retry-After": "70"}, b"{}"))
    endpoint = Endpoint(f"{server.address}#NAME", manners=Manners(parallel=2, timeout=5, retries=1, wait=0.01))
    waits: list[float] = []
    monkeypatch.setattr(endpoint._stopped, "wait", lambda seconds: waits.append(seconds))
    assert list(endpoint.write(ITEMS, 0, 0)) == WANTED
    # Once after the refusal and again before the next try; those asked from then on wait too, and only the one
    # that was asked beside it may be on its way already.
    assert len([seconds for seconds in waits if 60 < seconds <= 70]) >= len(ITEMS) - 1


def test_an_address_that_asks_to_wait_too_long_is_given_up(server: Server) -> None:
    server.answer = lambda path, body: (429, {"Retry-After": "7200"}, b"{}")
    with pytest.raises(
        ValueError, match=r"answers 429 .*, and asks to wait 7,200 s, after one try: what was answered"
    ):
        ask(server)


def test_a_slow_address_is_given_up(server: Server) -> None:
    server.answer = lambda path, body: time.sleep(1.0) or completed(path, body)  # type: ignore[func-returns-value]
    with pytest.raises(
        ValueError, match=r"does not answer within 0.1 s, after 2 tries: what was answered is kept"
    ):
        ask(server, Manners(parallel=2, timeout=0.1, retries=1, wait=0.01))


def test_an_address_that_is_down_is_said_to_be(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(ValueError, match=r"cannot be reached \(Connection refused\), after 4 tries"):
        ask(server)


def test_what_came_before_a_failure_is_had(server: Server) -> None:
    bad = ITEMS[3].prompt
    server.answer = lambda path, body: (500, {}, b"") if body["prompt"] == bad else completed(path, body)
    coming = Endpoint(f"{server.address}#N", manners=QUICK).write(ITEMS, 0, 0)
    assert [next(coming) for _ in range(3)] == WANTED[:3]
    with pytest.raises(ValueError, match="answers 500 Internal Server Error, after 4 tries"):
        next(coming)


@pytest.mark.parametrize(
    ("answer", "options", "said"),
    [
        (
            told({"error": {"message": "bad \x1b[31m key"}}, 401), {},
            r"refuses to answer \(401: bad \[31m key\): set ARITMO_API_KEY",
        ),
        (
            told({"error": "no such model"}, 404), {},
            r"no model NAME, or has no completions \(404: no such model\).*--chat",
        ),
        (told({"message": "too long"}, 400), {}, r"refuses what it is asked \(400: too long\)"),
        ((404, {}, b"<html>"), {"chat": True}, r"chat/completions refuses what it is asked \(404\)"),
        ((302, {"Location": "http://elsewhere/"}, b""), {}, r"sends on to http://elsewhere/: give that address"),
    ],
)  # fmt: skip
def test_what_would_not_pass_is_said_at_once(server: Server, answer: Any, options: Any, said: str) -> None:
    server.answer = lambda path, body: answer
    with pytest.raises(ValueError, match=said):
        list(Endpoint(f"{server.address}#NAME", manners=QUICK, **options).write(ITEMS[:1], 0, 0))
    assert len(server.asked) == 1


def test_addresses_are_read() -> None:
    assert split_address("http://h:1/v1/#a/b") == ("http://h:1/v1", "a/b")
    assert split_address("https://h/v1/chat/completions#m") == ("https://h/v1", "m")
    assert split_address("https://h#m") == ("https://h/v1", "m")
    assert is_address("https://h") and not is_address("owner/name")  # noqa: PT018
    for wrong, said in (("http://#m", "is no address"), ("https://u:p@h/v1", "the address of h holds a password")):
        with pytest.raises(ValueError, match=said):
            split_address(wrong)
