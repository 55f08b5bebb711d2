"""Rows on the playground: who is refused, and what many clients at once cost. A real server, real HTTP clients."""

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from threading import Event, Thread

from trust.rows import Figure, Row, Size

_CLIENTS = 50
_GROWTH = 200 << 20
"""Bytes by which the server may grow under load."""
_HOSTS = ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "localhost.evil")
_ORIGINS = ("http://evil.example", "null", "https://127.0.0.1", "file://")
_ASKED = (
    ("GET", "/"), ("GET", "/gradio_api/queue/data?session_hash=a"), ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/cancel"),
)  # fmt: skip
_CLOSED = (
    *("/config", "/gradio_api/info", "/openapi.json", "/docs", "/monitoring", "/gradio_api/heartbeat/a", "/login"),
    *(
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/upload",
        "/gradio_api/runs",
    ),
    *("/gradio_api/run/add", "/gradio_api/call/add", "/gradio_api/component_server", "/assets/../../blocks.py"),
)


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    """Serve a playground in a process of its own, and yield its address and process."""
    words = [sys.executable, "-m", "aritmo", "play", "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().split()[2].rstrip("/"), server.pid
        finally:
            server.terminate()


def exposed(size: Size) -> Figure:
    """Ask what strangers would, then from many clients at once, of which one in five leaves at the first step."""
    if not all(map(find_spec, ("gradio", "httpx", "psutil"))):
        return Figure("not checked: pip install 'aritmo[play]'", False)
    with served() as (url, pid):
        asked, answered = strangers(url)
        ends, memory = clients(url, pid, size.of(1, 10))
    told = ", ".join(f"{count} {how}" for how, count in sorted(ends.items()))
    grown = max(memory) - memory[0]
    fine = not answered and set(ends) <= {"answered", "busy", "left"} and ends["answered"] > 0 and grown < _GROWTH
    shown = f"{asked - len(answered)} of {asked} refused; {told}; {grown / 2**20:.0f} MiB more"
    return Figure(shown, fine, (f"memory {memory[0] / 2**20:.0f} MiB before", *answered[:5]))


def strangers(url: str) -> tuple[int, list[str]]:
    """Return how much was asked that is to be refused, and what was answered all the same."""
    import httpx

    asked = [(method, path, {"host": host}) for host in _HOSTS for method, path in _ASKED]
    asked += [(method, path, {"origin": origin}) for origin in _ORIGINS for method, path in _ASKED]
    asked += [(method, path, {}) for path in _CLOSED for method in ("GET", "POST", "PUT")]
    answered = []
    with httpx.Client(timeout=60) as client:
        for method, path, headers in asked:
            whole = httpx.URL(url).copy_with(raw_path=path.encode())
            body: dict[str, str] | None = {} if method == "POST" else None
            status = client.request(method, whole, headers=headers, json=body).status_code
            if status < 400:
                answered.append(f"{method} {path} with {headers} was answered: {status}")
    return len(asked), answered


def clients(url: str, pid: int, rounds: int) -> tuple[Counter[str], list[int]]:
    """Return what became of all clients, and the bytes of the server's memory from before to the end."""
    import httpx
    import psutil  # type: ignore[import-untyped]

    index = first_question(httpx.get(f"{url}/?en", timeout=60).text)
    process, over = psutil.Process(pid), Event()
    memory = [process.memory_info().rss]

    def watch() -> None:
        while not over.wait(0.1):
            memory.append(process.memory_info().rss)

    watching = Thread(target=watch)
    watching.start()
    ends: Counter[str] = Counter()
    try:
        with ThreadPoolExecutor(_CLIENTS) as pool:
            for _ in range(rounds):
                ends.update(pool.map(lambda n: ask(url, index, leaves=n % 5 == 0), range(_CLIENTS)))
    finally:
        over.set()
        watching.join()
    return ends, memory


def first_question(page: str) -> int:
    """Return the number by which the page asks its first question, that for a sum."""
    config = json.loads(page.split("window.gradio_config = ", 1)[1].split(";</script>", 1)[0])
    return next(int(one["id"]) for one in config["dependencies"] if one["inputs"] and one["backend_fn"])


def ask(url: str, index: int, leaves: bool) -> str:
    """Ask for a sum as the page does, and return what became of it."""
    import httpx

    session = uuid.uuid4().hex[:12]
    body = {"data": ["1+2", "steps"], "fn_index": index, "session_hash": session}
    with httpx.Client(timeout=300) as client:
        joined = client.post(f"{url}/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            told = joined.status_code == 503 and "busy" in joined.text
            return "busy" if told else f"refused with {joined.status_code}"
        with client.stream("GET", f"{url}/gradio_api/queue/data", params={"session_hash": session}) as lines:
            for line in lines.iter_lines():
                kind = json.loads(line[6:])["msg"] if line.startswith("data: ") else ""
                if leaves and kind == "process_generating":
                    return "left"
                if kind == "process_completed":
                    return "answered"
    return "broken off"


_AIM = "what strangers ask is refused; of 50 at once each is answered or told «busy»; less than 200 MiB more"
ROWS = [Row("playground", "a page that is exposed", _AIM, exposed)]
