"""The server of the playground: one address, one port, the gate before the page."""

import asyncio
import ipaddress
import socket
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aritmo.play.desk import Desk

LOCAL = "127.0.0.1"
LEAST_PASSWORD = 8
"""Characters of a password at least."""
_GRACE_S = 3


def check_extra() -> None:
    """Raise ValueError where what the page needs is not installed."""
    if not all(map(find_spec, ("gradio", "uvicorn", "fastapi"))):
        raise ValueError("the playground needs gradio, which is not installed: pip install 'aritmo[play]'")


def check_address(host: str, shared: bool, password: str | None) -> None:
    """Raise ValueError for an address that is none, or one on a network without consent and a password."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ValueError(
            f"host: got {host!r}, give an address of this machine, such as {LOCAL} or 0.0.0.0"
        ) from None
    if not local and not shared:
        raise ValueError(f"{host} is open to the network: add --share-on-network if that is meant, and a password")
    if not local and (password is None or len(password) < LEAST_PASSWORD):
        raise ValueError(f"on a network the page asks for a password of at least {LEAST_PASSWORD} characters")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises ValueError where another program does, or it is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except (OSError, OverflowError) as error:
        sock.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"port {port} of {host} cannot be had ({why}): give another with --port") from None
    return sock


class Playground:
    """A page that is served. ``gate`` is the application, for tests too."""

    def __init__(self, desk: "Desk", password: str | None = None) -> None:
        from aritmo.play.gate import Gate, host_names

        # In a loop, since gradio else opens one for each of its locks and closes none of them.
        self.blocks, app = asyncio.run(self._mounted(desk))
        self.gate = Gate(app, password, host_names() if password else frozenset())

    async def _mounted(self, desk: "Desk") -> tuple[Any, Any]:
        """Return gradio's page and the application that answers for it, with everything closed that can be."""
        from fastapi import FastAPI
        from gradio import mount_gradio_app

        from aritmo.play.page import build, style, theme

        blocks = build(desk, lambda session: self.gate.listening[session] > 0)
        closed: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
        app = FastAPI(**closed)
        with warnings.catch_warnings():
            # It tells that rendering in Node is off, which was never asked for.
            warnings.filterwarnings("ignore", "SSR mode")
            mount_gradio_app(
                app, blocks, path="/", theme=theme(), css_paths=[style()], footer_links=[], run_history=False,
                show_error=False, enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
                max_file_size=1, allowed_paths=[], blocked_paths=["/"], app_kwargs=closed,
            )  # fmt: skip
        blocks.state_session_capacity = 100
        return blocks, app

    def server(self) -> Any:
        """Return the server, of which ``run(sockets=[...])`` answers until the process is told to end."""
        import uvicorn

        config = uvicorn.Config(
            self.gate, log_level="error", access_log=False, server_header=False, proxy_headers=False, ws="none",
            timeout_keep_alive=20, timeout_graceful_shutdown=_GRACE_S, h11_max_incomplete_event_size=16_384,
            limit_concurrency=512, http="h11",
        )  # fmt: skip
        return uvicorn.Server(config)
