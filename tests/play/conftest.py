"""A playground that really serves, once for all tests here, and clients that ask it as the page does."""

import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest

# To look whether it is there takes less than to import it, which every process that collects tests would do.
if find_spec("gradio") is None:
    pytest.skip("the playground's extra is not installed: pip install 'aritmo[play]'", allow_module_level=True)

import httpx

from aritmo.play.desk import Desk
from aritmo.play.serving import Playground, bind


class Served(NamedTuple):
    """A playground and its address."""

    playground: Playground
    desk: Desk
    url: str

    def index(self, name: str, language: str = "en") -> int:
        """Return the number by which gradio knows a function of the page."""
        found = [number for number, fn in self.playground.blocks.fns.items() if fn.name == name]
        return found[0 if language == "en" else len(found) // 2]

    def join(self, client: httpx.Client, name: str, data: list[Any], session: str) -> httpx.Response:
        body = {"data": data, "fn_index": self.index(name), "session_hash": session}
        return client.post(f"{self.url}/gradio_api/queue/join", json=body)


def messages(client: httpx.Client, url: str, session: str) -> Iterator[dict[str, Any]]:
    """Yield what comes on a session's stream."""
    query = {"session_hash": session}
    with client.stream("GET", f"{url}/gradio_api/queue/data", params=query, timeout=120) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def answer(served: Served, name: str, *data: Any) -> str:
    """Return the last view that the page would show."""
    session = uuid.uuid4().hex[:12]
    with httpx.Client(timeout=120) as client:
        joined = served.join(client, name, list(data), session)
        assert joined.status_code == 200, joined.text
        view = ""
        for message in messages(client, served.url, session):
            assert message.get("success", True), message
            if message["msg"] in ("process_generating", "process_completed"):
                for change in message["output"]["data"]:
                    view = changed(view, change)
    return view


def changed(view: str, change: Any) -> str:
    """Return a view after a change as gradio sends it: the whole, or what is put in its place or behind it."""
    if isinstance(change, str):
        return change
    for kind, path, value in change:
        assert path == []
        view = view + value if kind == "append" else value
    return view


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Served]]:
    """Return what serves a playground until the tests are over."""
    running: list[tuple[Any, threading.Thread]] = []

    def begin(desk: Desk, password: str | None = None) -> Served:
        playground = Playground(desk, password)
        sock = bind("127.0.0.1", 0)
        server = playground.server()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return Served(playground, desk, f"http://127.0.0.1:{sock.getsockname()[1]}")

    yield begin
    for server, thread in running:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def served(serve: Callable[..., Served]) -> Served:
    served = serve(Desk())
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), timeout=20):
        pass
    return served
