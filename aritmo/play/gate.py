"""Who may ask the page what: the policy that stands before everything that gradio answers.

Only the addresses that the page itself asks are answered, and only to pages of this very server (Host against DNS
rebinding, Origin and Fetch Metadata against requests from other sites), with small bodies, never too many at once.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

MOST_BODY = 32_768
"""Bytes of a request."""
_BODY_S = 10
"""Seconds in which each part of a request has to come."""
MOST_AT_ONCE = 192
"""Requests that are answered at once; a page that is open and asking holds one."""
MOST_GUESSES = 10
"""Wrong passwords in a minute, from whomever, before everyone has to wait."""
BUSY = "busy: too many ask at once; try again in a moment · ocupado: vuelve a intentarlo en un momento"

_PAGES = re.compile(r"/(?:es)?")
_READ = re.compile(r"/(?:es)?|/(?:assets|static)/[\w./-]{1,200}|/theme\.css|/favicon\.ico|/manifest\.json")
_STREAM = "/gradio_api/queue/data"
_ASKED = ("/gradio_api/queue/join", "/gradio_api/cancel")
_SESSION = re.compile(r"[a-z0-9]{1,32}")
_SCRIPT = re.compile(rb"<script\b(?![^>]*\bnonce=)")
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
"""A script is run where it comes from here or carries the nonce of its page, so that none in a text would be.
gradio makes functions of its own templates in the page, which needs ``unsafe-eval``."""
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class RefusedError(Exception):
    """A request that is not answered: with which status, and a sentence."""

    def __init__(self, status: int, why: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(why)
        self.status, self.headers = status, headers


@dataclass
class Gate:
    """The application behind this policy. Without ``password`` everyone on this machine may ask.

    ``names`` are hosts by which the server is called besides localhost and, on a network, its addresses.
    """

    app: App
    password: str | None = None
    names: frozenset[str] = frozenset()
    listening: Counter[str] = field(default_factory=Counter)
    """How many open pages listen to each session's answers."""
    _at_once: int = 0
    _guesses: list[float] = field(default_factory=list)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI), or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            self._at_once += 1
            try:
                self._check(scope)
                await self._answer(scope, receive, send)
            except RefusedError as refusal:
                await _refuse(send, refusal)
            finally:
                self._at_once -= 1

    def _check(self, scope: Message) -> None:
        headers = _headers(scope)
        host = headers.get("host", "")
        if not self._is_here(host):
            raise RefusedError(421, "this server is not called by that name: open the address that it printed")
        page = scope["method"] in ("GET", "HEAD") and _PAGES.fullmatch(scope["path"]) is not None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin not in (None, f"{scope['scheme']}://{host}"):
            raise RefusedError(403, "that page is none of this server")
        if site not in ("none", "same-origin") and not (page and headers.get("sec-fetch-mode") == "navigate"):
            raise RefusedError(403, "that page is none of this server")
        if self.password is not None:
            self._check_password(headers.get("authorization", ""))
        if self._at_once > MOST_AT_ONCE:
            raise RefusedError(503, BUSY)
        _check_address(scope, headers)

    def _is_here(self, host: str) -> bool:
        """Say whether a Host header means this server: a name that could be rebound is none of it."""
        name = re.sub(r":[0-9]{1,5}\Z", "", host)
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or self.password is not None

    def _check_password(self, given: str) -> None:
        assert self.password is not None
        now = monotonic()
        self._guesses = [at for at in self._guesses if now - at < 60]
        if len(self._guesses) >= MOST_GUESSES:
            raise RefusedError(429, "too many wrong passwords: wait a minute", (b"retry-after", b"60"))
        try:
            kind, _, words = given.partition(" ")
            decoded = base64.b64decode(words, validate=True) if kind.lower() == "basic" else b""
        except binascii.Error:
            decoded = b""
        _, _, password = decoded.partition(b":")
        # The digests have one length, so that nothing about the password's own shows in the time.
        if not hmac.compare_digest(_digest(password), _digest(self.password.encode())):
            if given:
                self._guesses.append(now)
            challenge = (b"www-authenticate", b'Basic realm="aritmo play", charset="UTF-8"')
            raise RefusedError(401, "the password is asked for; the user's name does not matter", challenge)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        page = _PAGES.fullmatch(scope["path"]) is not None
        if page and scope["path"] == "/" and not scope["query_string"] and _is_spanish(headers):
            await _redirect(send, b"/es")
            return
        body = await _body(headers, receive) if scope["method"] == "POST" else None
        if page:
            # What comes in the language of the reader is not packed, so that its scripts can be marked.
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        sender = _Sender(send, page)
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        if scope["path"] != _STREAM:
            await self.app(scope, receive if body is None else _replayed(body, receive), sender)
            return
        self.listening[session] += 1
        try:
            await self.app(scope, receive, sender)
        finally:
            self.listening[session] -= 1
            if self.listening[session] <= 0:
                del self.listening[session]


class _Sender:
    """Passes an answer on with the headers of the policy; the scripts of a page get the nonce of its answer."""

    def __init__(self, send: Send, page: bool) -> None:
        self._send, self._page = send, page
        self._nonce = secrets.token_urlsafe(16)
        self._begun: Message | None = None
        self._held = b""
        self._busy = False

    async def __call__(self, message: Message) -> None:
        if self._busy:
            return
        if message["type"] == "http.response.start" and message["status"] == 503:
            self._busy = True
            await _refuse(self._send, RefusedError(503, BUSY))
            return
        if message["type"] == "http.response.start":
            message["headers"] = [*_kept(message["headers"]), *_HEADERS, self._policy()]
            self._begun = message
            if not self._page:
                await self._send(message)
            return
        if not self._page:
            await self._send(message)
            return
        self._held += message.get("body", b"")
        if not message.get("more_body"):
            assert self._begun is not None
            body = _SCRIPT.sub(b'<script nonce="%s"' % self._nonce.encode(), self._held)
            headers = [pair for pair in self._begun["headers"] if pair[0] != b"content-length"]
            length = (b"content-length", str(len(body)).encode())
            await self._send({**self._begun, "headers": [*headers, length, (b"cache-control", b"no-store")]})
            await self._send({"type": "http.response.body", "body": body})

    def _policy(self) -> tuple[bytes, bytes]:
        return b"content-security-policy", _POLICY.format(nonce=self._nonce).encode()


def host_names() -> frozenset[str]:
    """Return the names that this machine gives itself, for a server on a network."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name}.local"})


def _headers(scope: Message) -> dict[str, str]:
    """Return the headers of a request; one that comes twice is none, but for cookies and the like."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "authorization", "content-length", "sec-fetch-site"):
            raise RefusedError(400, f"the header {key} comes twice")
        found[key] = value.decode("latin-1")
    return found


def _check_address(scope: Message, headers: dict[str, str]) -> None:
    """Raise RefusedError for all that the page does not ask: files, uploads, descriptions, other methods."""
    method, path = scope["method"], scope["path"]
    if method in ("GET", "HEAD") and path == _STREAM:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if not _SESSION.fullmatch(query.get("session_hash", [""])[0]):
            raise RefusedError(400, "that is no session")
    elif method == "POST" and path in _ASKED:
        if not headers.get("content-type", "").startswith("application/json"):
            raise RefusedError(415, "only JSON is read here")
    elif not (method in ("GET", "HEAD") and _READ.fullmatch(path) and ".." not in path):
        raise RefusedError(404, "there is nothing here")


async def _body(headers: dict[str, str], receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 9 or int(length) > MOST_BODY:
        raise RefusedError(413, f"that is too much: at most {MOST_BODY:,} bytes are read")
    body: bytes = b""
    while True:
        try:
            message = await asyncio.wait_for(receive(), _BODY_S)
        except TimeoutError:
            raise RefusedError(408, "the request came too slowly") from None
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the request broke off")
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            raise RefusedError(413, f"that is too much: at most {MOST_BODY:,} bytes are read")
        if not message.get("more_body"):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read once more, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, refusal: RefusedError) -> None:
    body, kind = str(refusal).encode(), b"text/plain; charset=utf-8"
    if refusal.status == 503:  # the page reads this one
        body, kind = json.dumps({"detail": str(refusal)}).encode(), b"application/json"
    plain = (b"content-type", kind), (b"content-length", str(len(body)).encode())
    headers = [*plain, *_HEADERS, *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _redirect(send: Send, where: bytes) -> None:
    headers = [(b"location", where), (b"cache-control", b"no-store"), (b"vary", b"accept-language"), *_HEADERS]
    await send({"type": "http.response.start", "status": 307, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_spanish(headers: dict[str, str]) -> bool:
    """Say whether a browser asks for Spanish first."""
    return headers.get("accept-language", "").lower().startswith("es")


def _kept(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer without those that open it to other sites, or name the server."""
    return [
        pair for pair in headers if not pair[0].lower().startswith((b"access-control-", b"server", b"x-powered"))
    ]


def _digest(password: bytes) -> bytes:
    return hashlib.sha256(password).digest()
