"""A model behind an address that speaks as OpenAI's does: its completions, or its chat where it has none.

Whatever goes wrong on the way is tried again with longer and longer waits: an address that does not answer, that
is slow, that asks to wait (429 with Retry-After), that fails (5xx) or answers what was not asked for.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NoReturn, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from transformers import PreTrainedTokenizerBase

from aritmo import __version__
from aritmo.models import open_tokenizer
from aritmo.numbers.randomness import seed_of
from aritmo.probes.prompts import Item, find_probe

Record = dict[str, Any]
T = TypeVar("T")

KEY_VARIABLE = "ARITMO_API_KEY"
_MOST_BYTES = 8 << 20
_BLOCK = 1 << 16
_LONGEST_WAIT = 300.0
"""Seconds that an address may ask to wait before it is given up for now."""
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_LOCAL = ("localhost", "127.0.0.1", "::1")
_ORDER = (
    "Continue the text exactly where it stops, in the same form, by one more answer. Write only what comes next, "
    "nothing else.\n\n"
)


@dataclass(frozen=True, slots=True)
class Manners:
    """How an address is asked: so many at once, each for so many seconds, again so many times.

    The first wait is ``wait`` seconds and each further one twice as long, to ``most`` at most.
    """

    parallel: int = 4
    timeout: float = 60.0
    retries: int = 6
    wait: float = 1.0
    most: float = 60.0


class Endpoint:
    """A model behind an address. ``name`` is the address and, after ``#``, the model's name there."""

    def __init__(
        self,
        name: str,
        chat: bool = False,
        tokenizer: str | None = None,
        key_variable: str = KEY_VARIABLE,
        manners: Manners = Manners(),
    ) -> None:
        """Find the model. Raises ValueError in one sentence where the address or the model cannot be had."""
        self.name, self.chat, self.manners = name, chat, manners
        self.tokenizer: PreTrainedTokenizerBase | None = open_tokenizer(tokenizer) if tokenizer else None
        self._key = os.environ.get(key_variable, "").strip()
        self._key_variable = key_variable
        self.base, self.model = split_address(name)
        self._opener = _opener(self.base)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0
        if not self.model:
            self.model = self._only_model()

    def account(self) -> Record:
        return {
            "kind": "endpoint, chat" if self.chat else "endpoint",
            "served_as": self.model,
            "tokens_known": len(self.tokenizer) if self.tokenizer else None,
        }

    def write(self, items: Sequence[Item], temperature: float, seed: int) -> Iterator[str]:
        """Yield what the model writes on each prompt, in their order; several are asked for at once.

        Raises ValueError once an answer cannot be had, after those before it.
        """
        pool = ThreadPoolExecutor(self.manners.parallel)
        try:
            yield from pool.map(lambda item: self._ask(item, temperature, seed), items)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._stopped.clear()

    def _ask(self, item: Item, temperature: float, seed: int) -> str:
        wanted: Record = {
            "model": self.model,
            # A token has at least one character.
            "max_tokens": len(item.right) + 8,
            "temperature": temperature,
            "seed": seed_of("endpoint", seed, item.index) >> 33,
        }
        if self.chat:
            wanted["messages"] = [{"role": "user", "content": _ORDER + item.prompt}]
            # A chat may begin with an empty line, and that would end it.
            return self._post("chat/completions", wanted, _chat_text)
        wanted |= {"prompt": item.prompt, "stop": list(find_probe(item.probe).stops)}
        return self._post("completions", wanted, _completion_text)

    def _only_model(self) -> str:
        names = self._post("models", None, _model_names)
        if len(names) == 1:
            return names[0]
        shown = ", ".join(names[:8]) or "none"
        raise ValueError(f"{self.base} serves {len(names):,} models ({shown}): name one, as {self.base}#NAME")

    def _post(self, path: str, wanted: Record | None, read: Callable[[Any], T]) -> T:
        """Return what ``read`` takes from the answer, asked for again where it was not to be had."""
        for turn in range(self.manners.retries + 1):
            self._wait_until(self._not_before)
            try:
                return read(self._once(path, wanted))
            except _AgainError as again:
                trouble = again
            pause = min(self.manners.wait * 2**turn, self.manners.most)
            if trouble.after is not None:
                if trouble.after > _LONGEST_WAIT:
                    break
                pause = max(trouble.after, self.manners.wait)
                # The others wait as well, since the limit is the same for all.
                with self._lock:
                    self._not_before = max(self._not_before, time.monotonic() + pause)
            if turn < self.manners.retries:
                self._wait_until(time.monotonic() + pause)
        wait = f", and asks to wait {trouble.after:,.0f} s" if trouble.after is not None else ""
        tries = f"{turn + 1} tries" if turn else "one try"
        raise ValueError(
            f"{self.base} {trouble}{wait}, after {tries}: what was answered is kept, so run the same command "
            "again once it answers"
        )

    def _wait_until(self, moment: float) -> None:
        """Wait, or leave at once where the asking has been stopped. ``moment`` is a monotonic time."""
        if self._stopped.wait(max(0.0, moment - time.monotonic())):
            raise ValueError("the asking was stopped")

    def _once(self, path: str, wanted: Record | None) -> Any:
        """Return the JSON that one request is answered with. Raises _AgainError for what may pass."""
        headers = {"Accept": "application/json", "User-Agent": f"aritmo/{__version__}"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = None if wanted is None else json.dumps(wanted).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = Request(f"{self.base}/{path}", data, headers)
        try:
            with self._opener.open(request, timeout=self.manners.timeout) as answer:
                body = self._read(answer)
        except HTTPError as error:
            with error:
                self._refused(error, path)
        except (TimeoutError, URLError, HTTPException, OSError) as error:
            raise _AgainError(_trouble(error, self.manners.timeout)) from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _AgainError(f"answers what is no JSON ({_shown(body)})") from None

    def _read(self, answer: Any) -> bytes:
        """Read an answer whole, in no more time than one may take and no more bytes than one has."""
        until, parts, size = time.monotonic() + self.manners.timeout, [], 0
        while block := answer.read1(_BLOCK):
            parts.append(block)
            size += len(block)
            if size > _MOST_BYTES:
                raise _AgainError(f"answers more than {_MOST_BYTES >> 20} MiB")
            if time.monotonic() > until:
                raise TimeoutError
        return b"".join(parts)

    def _refused(self, error: HTTPError, path: str) -> NoReturn:
        """Raise what a status that is no success comes to: ValueError where trying again would not help."""
        if error.code in _AGAIN:
            raise _AgainError(f"answers {error.code} {error.reason}", _seconds(error.headers))
        told = _message(error)
        if error.code in (401, 403):
            how = (
                f"set {self._key_variable} to a key" if not self._key else f"check the key in {self._key_variable}"
            )
            raise ValueError(f"{self.base} refuses to answer ({error.code}{told}): {how}")
        if 300 <= error.code < 400:
            raise ValueError(
                f"{self.base} sends on to {error.headers.get('Location', 'elsewhere')}: give that address"
            )
        if error.code in (404, 405) and path == "completions":
            raise ValueError(
                f"{self.base} knows no model {self.model}, or has no completions ({error.code}{told}): check the "
                "name, or add --chat"
            )
        raise ValueError(
            f"{self.base}/{path} refuses what it is asked ({error.code}{told}): check address and model"
        )


class _AgainError(Exception):
    """What may pass when tried again; ``after`` is in how many seconds, where the address says so."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


def split_address(name: str) -> tuple[str, str]:
    """Return the base address and the model's name of ``ADDRESS#NAME``; the name may be missing.

    Raises ValueError for what is no address of http or https, and for one that holds a password.
    """
    parts = urlsplit(name)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name} is no address: write one like http://127.0.0.1:8000/v1#NAME")
    if parts.username or parts.password:
        raise ValueError(
            f"the address of {parts.hostname} holds a password: put the key into {KEY_VARIABLE} in its place"
        )
    path = parts.path.rstrip("/")
    for end in ("/chat/completions", "/completions"):
        path = path.removesuffix(end)
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", "")), parts.fragment


def is_address(name: str) -> bool:
    return name.startswith(("http://", "https://"))


class _NoRedirect(HTTPRedirectHandler):
    """Follow no redirection: the key would go with it."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _opener(base: str) -> OpenerDirector:
    """Return what opens addresses; this machine's own are never asked through a proxy."""
    own = urlsplit(base).hostname in _LOCAL
    return build_opener(_NoRedirect, *([ProxyHandler({})] if own else []))


def _trouble(error: Exception, timeout: float) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return f"does not answer within {timeout:g} s"
    told = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return f"cannot be reached ({' '.join(str(told).split())[:120]})"


def _seconds(headers: Any) -> float | None:
    """Return in how many seconds to ask again (RFC 9110, 10.2.3: a count or a date), None where nothing says."""
    told = (headers.get("Retry-After") or "").strip()
    if told.isascii() and told.isdigit():
        return float(min(int(told[:9]), 10**9))
    try:
        moment = parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def _message(error: HTTPError) -> str:
    """Return what an address says of its refusal, as a clause."""
    try:
        told = json.loads(error.read(_BLOCK))
    except (ValueError, RecursionError, OSError, HTTPException):
        return ""
    inner = told.get("error", told) if isinstance(told, dict) else told
    text = inner.get("message") if isinstance(inner, dict) else inner
    return f": {_shown(text.encode())}" if isinstance(text, str) and text else ""


def _shown(body: bytes) -> str:
    text = " ".join(body[:400].decode(errors="replace").split())
    shown = "".join(character for character in text if character.isprintable())[:160]
    return shown or "nothing"


def _choice(answer: Any) -> Any:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        raise _AgainError("answers JSON without a completion")
    return first


def _completion_text(answer: Any) -> str:
    text = _choice(answer).get("text")
    if not isinstance(text, str):
        raise _AgainError("answers a completion without text")
    return text


def _chat_text(answer: Any) -> str:
    message = _choice(answer).get("message")
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise _AgainError("answers a message without text")
    return text


def _model_names(answer: Any) -> list[str]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise _AgainError("lists no models")
    return [one["id"] for one in data if isinstance(one, dict) and isinstance(one.get("id"), str)]
