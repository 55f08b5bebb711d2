"""``aritmo play``: the playground."""

import os
import sys
from typing import Annotated

import typer

PASSWORD = "ARITMO_PLAY_PASSWORD"
"""The environment variable that holds the password of a page on a network."""


def register(root: typer.Typer) -> None:
    root.command(epilog="Example: aritmo play --port 7861")(play)


def play(
    model: Annotated[
        str | None, typer.Argument(help="A run, a folder or a name; without it the models that are shipped.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What MODEL writes, where nothing in it says so: addition, squares, primality."),
    ] = None,
    style: Annotated[str | None, typer.Option(help="How MODEL writes, with --task.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 7860,
    host: Annotated[
        str, typer.Option(help="The address; any but this machine's own needs the next.")
    ] = "127.0.0.1",
    share_on_network: Annotated[
        bool,
        typer.Option("--share-on-network", help=f"Let others in, by a password: {PASSWORD}, or it is asked for."),
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Play with models on a page: sums step by step, squares searched, primes, tokens, and a judge to fool.

    The page is served to this machine alone and works without a network. Ctrl-C ends it. Needs the extra play:
    pip install 'aritmo[play]'.
    """
    # The products of one small model are too small to share out among threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from aritmo.play.serving import bind, check_address, check_extra

    check_extra()
    password = _password() if share_on_network else None
    check_address(host, share_on_network, password)
    with bind(host, port) as sock:
        from aritmo.play.desk import Desk
        from aritmo.play.serving import Playground

        print("opening the models ...", file=sys.stderr)
        playground = Playground(Desk(model, task, style), password)
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{sock.getsockname()[1]}/"
        # The socket listens already, so that a browser that is quick waits.
        print(f"aritmo play: {address} (Ctrl-C ends it)", flush=True)
        if browser and not share_on_network:
            typer.launch(address)
        playground.server().run(sockets=[sock])


def _password() -> str:
    given = os.environ.get(PASSWORD)
    if given is None and not sys.stdin.isatty():
        raise ValueError(f"on a network the page asks for a password: set {PASSWORD}, or start it at a terminal")
    return given if given is not None else str(typer.prompt("Password for the page", hide_input=True))
