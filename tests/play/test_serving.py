"""The server as clients meet it: who may ask, what is closed, how much is too much, and who is no longer there."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from aritmo.play import gate
from aritmo.play.serving import bind, check_address

from .conftest import Served, answer, messages

PASSWORD = "correct horse 9+71421"


def test_a_sum_comes_step_by_step_and_ends_right(served: Served) -> None:
    view = answer(served, "add", "8292+29039", "steps")
    assert 'class="verdict good"' in view
    assert "44 of 44 lines right" in view
    assert "8292+29039=37331" in view
    assert "bad" not in view


def test_a_long_sum_a_square_a_prime_tokens_and_a_judgement(served: Served) -> None:
    assert "31 of 31 digits right" in answer(served, "add", "9" * 30 + "+1", "long")
    view = answer(served, "search", "centre_3", "263")
    assert 'class="verdict good"' in view
    assert all(f">{cell}</td>" in view for cell in (173, 347, 269, 359, 263, 167, 257, 179, 353))
    assert "7917 = 3 × 2639" in answer(served, "ask", "7917")
    assert "<i>2</i><i>2</i><i>4</i><i>9</i>" in answer(served, "cut", "2249")
    judged = answer(served, "judge", "17 89 71\n113 60 5\n47 29 101", False)
    assert "not prime: 60 in row 2, column 2" in judged
    assert "5 defects" in judged


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("add", ["8292", "steps"], "has no plus sign"),
        ("add", ["1+" + "9" * 13, "steps"], "13 digits is too long"),
        ("add", ["1+" + "9" * 3000, "long"], "that is 3,002 characters: give at most 2,100"),
        ("search", ["centre_3", "9"], "centre 9 is not prime (3 x 3)"),
        ("search", ["centre_5", "1"], "centre 1"),
        ("ask", ["12345"], "5 digits is too long"),
        ("cut", [" "], "there is nothing to ask"),
        ("judge", ["1 2\n3", False], "no square"),
        ("judge", ["<b>", False], "is no number"),
        ("judge", ["9" * 17000, False], "give at most 16,000"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_sentence(
    served: Served, name: str, data: list[Any], sentence: str
) -> None:
    view = answer(served, name, *data)
    assert sentence in view or sentence.replace("no square", "numbers in a row") in view
    assert "refused" in view
    assert "<b>" not in view


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]", "localhost.evil:1"]
)
def test_another_name_is_refused(served: Served, host: str) -> None:
    """What DNS rebinding would ask."""
    for path in ("/", "/gradio_api/queue/data?session_hash=a"):
        assert httpx.get(served.url + path, headers={"host": host}).status_code == 421
    body = {"data": [], "fn_index": 0, "session_hash": "a"}
    joined = httpx.post(f"{served.url}/gradio_api/queue/join", json=body, headers={"host": host})
    assert joined.status_code == 421


def test_this_machines_names_are_answered(served: Served) -> None:
    port = served.url.rsplit(":", 1)[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        assert httpx.get(served.url, headers={"host": host, "accept-language": "en"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_cannot_ask(served: Served, headers: dict[str, str]) -> None:
    body = {"data": ["1+2", "steps"], "fn_index": served.index("add"), "session_hash": "abc"}
    assert httpx.post(f"{served.url}/gradio_api/queue/join", json=body, headers=headers).status_code == 403
    assert httpx.post(f"{served.url}/gradio_api/cancel", json=body, headers=headers).status_code == 403
    query = "/gradio_api/queue/data?session_hash=abc"
    assert httpx.get(served.url + query, headers=headers).status_code == 403


def test_a_link_from_another_site_opens_the_page(served: Served) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "accept-language": "en"}
    assert httpx.get(served.url, headers=headers).status_code == 200
    assert httpx.get(served.url + "/theme.css", headers=headers).status_code == 403


def test_no_websocket_is_opened(served: Served) -> None:
    host, port = "127.0.0.1", int(served.url.rsplit(":", 1)[1])
    with socket.create_connection((host, port), timeout=20) as sock:
        sock.sendall(
            f"GET /gradio_api/queue/data?session_hash=a HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            "Origin: http://evil.example\r\n\r\n".encode()
        )
        assert sock.recv(100).split(b" ")[1] != b"101"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", path)
        for path in (
            *("/config", "/gradio_api/info", "/openapi.json", "/docs", "/redoc", "/gradio_api/openapi.json"),
            *("/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/proxy=http://127.0.0.1/"),
            *("/monitoring", "/gradio_api/monitoring", "/gradio_api/runs", "/gradio_api/startup-events"),
            *(
                "/assets/../../../app.py",
                "/static/..%2f..%2fblocks.py",
                "/svelte/x",
                "/gradio_api/token",
                "/login_check",
            ),
            *("/gradio_api/heartbeat/abc", "/gradio_api/dev/reload", "/gradio_api/deep_link", "/es/", "/logout"),
        )
    ]
    + [
        ("POST", path)
        for path in (
            *(
                "/gradio_api/upload",
                "/gradio_api/run/add",
                "/gradio_api/call/add",
                "/gradio_api/api/add",
                "/login",
            ),
            *(
                "/gradio_api/component_server",
                "/gradio_api/reset",
                "/gradio_api/vibe-edit",
                "/",
                "/gradio_api/stream/a",
            ),
        )
    ]
    + [("PUT", "/"), ("DELETE", "/"), ("OPTIONS", "/gradio_api/queue/join"), ("TRACE", "/")],
)
def test_all_else_is_closed(served: Served, method: str, path: str) -> None:
    with httpx.Client() as client:
        url = httpx.URL(served.url).copy_with(raw_path=path.encode())
        answered = client.request(method, url, json={} if method == "POST" else None)
    assert answered.status_code == 404
    assert answered.text == "there is nothing here"


def test_large_requests_and_other_kinds_are_refused(served: Served) -> None:
    url = f"{served.url}/gradio_api/queue/join"
    json = {"content-type": "application/json"}
    assert httpx.post(url, content=b"x" * (gate.MOST_BODY + 1), headers=json).status_code == 413
    chunks = (b"x" * 4096 for _ in range(20))
    assert httpx.post(url, content=chunks, headers=json).status_code == 413
    assert httpx.post(url, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert httpx.get(f"{served.url}/gradio_api/queue/data?session_hash=../x").status_code == 400


def test_the_page_runs_only_its_own_scripts_and_fetches_nothing_elsewhere(served: Served) -> None:
    first, second = (httpx.get(served.url, headers={"accept-language": "en"}) for _ in range(2))
    policy = dict(part.split(" ", 1) for part in first.headers["content-security-policy"].split("; "))
    nonce = policy["script-src"].split("'nonce-")[1].split("'")[0]
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert first.text.count("<script") == first.text.count(f'<script nonce="{nonce}"') > 0
    assert nonce not in second.text
    assert first.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in first.headers
    assert "server" not in first.headers


def test_the_language_is_the_readers(served: Served) -> None:
    spanish = httpx.get(served.url, headers={"accept-language": "es-MX,en;q=0.5"})
    assert (spanish.status_code, spanish.headers["location"]) == (307, "/es")
    assert "Paso a paso" in httpx.get(f"{served.url}/es").text
    assert "Step by step" in httpx.get(f"{served.url}/?en", headers={"accept-language": "es"}).text


@pytest.fixture(scope="module")
def locked(serve: Callable[..., Served], served: Served) -> Served:
    return serve(served.desk, PASSWORD)


def test_a_page_on_a_network_asks_for_its_password(locked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = gate.hmac.compare_digest

    def noted(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr(gate.hmac, "compare_digest", noted)
    monkeypatch.setattr(locked.playground.gate, "_guesses", [])
    english = {"accept-language": "en"}
    for path in ("/", "/theme.css", "/gradio_api/queue/data?session_hash=a"):
        refused = httpx.get(locked.url + path, headers=english)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
    body = {"data": ["1+2", "steps"], "fn_index": 0, "session_hash": "a"}
    assert httpx.post(f"{locked.url}/gradio_api/queue/join", json=body).status_code == 401
    assert httpx.get(locked.url, auth=("x", "wrong"), headers=english).status_code == 401
    assert httpx.get(locked.url, headers={"authorization": "Basic ???"}).status_code == 401
    assert httpx.get(locked.url, auth=("whoever", PASSWORD), headers=english).status_code == 200
    # Whatever was given, what is compared has one length, and is compared in constant time.
    assert set(compared) == {(32, 32)}


def test_guessing_passwords_is_slow(locked: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locked.playground.gate, "_guesses", [])
    tried = [httpx.get(locked.url, auth=("x", str(n))).status_code for n in range(gate.MOST_GUESSES + 2)]
    assert tried == [401] * gate.MOST_GUESSES + [429, 429]
    assert httpx.get(locked.url, auth=("x", PASSWORD)).status_code == 429
    monkeypatch.setattr(locked.playground.gate, "_guesses", [])
    assert httpx.get(locked.url, auth=("x", PASSWORD), headers={"accept-language": "en"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "shared", "password", "sentence"),
    [
        ("0.0.0.0", False, PASSWORD, "is open to the network: add --share-on-network"),
        ("192.168.1.5", False, None, "is open to the network"),
        ("0.0.0.0", True, None, "asks for a password"),
        ("::", True, "short", "at least 8 characters"),
        ("example.org", True, PASSWORD, "give an address of this machine"),
    ],
)
def test_a_network_needs_consent_and_a_password(
    host: str, shared: bool, password: str | None, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_address(host, shared, password)


def test_this_machine_needs_neither() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_address(host, False, None)
    check_address("0.0.0.0", True, PASSWORD)


def test_a_port_in_use_is_told(served: Served) -> None:
    with pytest.raises(ValueError, match=r"port \d+ of 127.0.0.1 cannot be had .*: give another with --port"):
        bind("127.0.0.1", int(served.url.rsplit(":", 1)[1]))
    with pytest.raises(ValueError, match=r"of 203.0.113.7 cannot be had"):
        bind("203.0.113.7", 0)


class Watched:
    """A writer that never ends by itself, and notes how many write at once and what was closed."""

    def __init__(self, pieces: int = 10_000_000) -> None:
        self.now = self.most = self.closed = self.begun = 0
        self._pieces, self._lock = pieces, threading.Lock()

    def stream(self, *_: Any) -> Iterator[str]:
        with self._lock:
            self.begun += 1
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            for _piece in range(self._pieces):
                time.sleep(0.02)
                yield "STEP 1\n"
        finally:
            with self._lock:
                self.now -= 1
                self.closed += 1


def until(true: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def test_a_closed_page_ends_its_work(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Watched()
    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", writer.stream)
    with httpx.Client(timeout=60) as client:
        assert served.join(client, "add", ["1+2", "steps"], "closing").status_code == 200
        coming = messages(client, served.url, "closing")
        assert any(message["msg"] == "process_generating" for message in coming)
        assert writer.now == 1
        coming.close()
    assert until(lambda: writer.closed == 1 and served.playground.gate.listening["closing"] == 0)


def test_a_question_to_which_nobody_listens_ends_by_itself(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Watched()
    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", writer.stream)
    with httpx.Client() as client:
        served.join(client, "add", ["1+2", "steps"], "nobody")
    assert until(lambda: writer.closed == 1)


def test_fifty_clients_at_once_are_answered_or_told_that_it_is_busy(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aritmo.play.page import AT_ONCE, WAITING

    writer = Watched(pieces=15)
    monkeypatch.setattr(served.desk.adders["steps"].writer.__class__, "stream", writer.stream)
    before = psutil.Process().memory_info().rss

    def ask(_: int) -> tuple[int, str]:
        session = uuid.uuid4().hex[:12]
        with httpx.Client(timeout=120) as client:
            joined = served.join(client, "add", ["1+2", "steps"], session)
            if joined.status_code != 200:
                return joined.status_code, joined.text
            *_, last = (m for m in messages(client, served.url, session) if m["msg"] == "process_completed")
            return 200 if last["success"] else 500, ""

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(ask, range(50)))
    served_to = sum(code == 200 for code, _ in codes)
    busy = [text for code, text in codes if code == 503]
    assert served_to + len(busy) == 50
    assert WAITING <= served_to == writer.begun
    assert len(busy) >= 10
    assert all("busy" in text for text in busy)
    assert writer.most <= AT_ONCE
    assert until(lambda: writer.closed == writer.begun)
    # The page for all clients together takes a bounded room: the messages of those who were answered.
    assert psutil.Process().memory_info().rss - before < 200 << 20
    # A client has its answer a moment before the server hears that it went away.
    assert until(lambda: not served.playground.gate.listening)


def test_more_requests_than_are_answered_at_once_are_told_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST_AT_ONCE", 0)
    refused = httpx.get(served.url)
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith("busy")
