"""The command ``aritmo``: one file a verb, thin. Heavy imports stay inside the verbs, so that help is quick."""

import errno
import signal
import sys
import threading
from _thread import interrupt_main
from importlib import import_module

import typer
from typer.exceptions import TyperException

from aritmo import __version__
from aritmo.screen import show

_VERBS = (
    *("run", "squares", "corpus", "plan", "train", "improve", "sample", "ask"),
    *("play", "judge", "probe", "export", "report"),
)
"""The modules of this folder, in the order in which help shows them."""
_SOON = 0.05
"""Seconds after which a signal is sent again."""

app = typer.Typer(
    name="aritmo",
    help="Teach language models numbers, and prove whether they learned or copied.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        typer.echo(f"aritmo {__version__}")
        raise typer.Exit


for _verb in _VERBS:
    import_module(f"aritmo.cli.{_verb}").register(app)


def _plain(error: BaseException) -> str:
    """Return one sentence for what a user did wrong or what the machine refused."""
    if isinstance(error, TyperException):
        option = getattr(error, "option_name", None) or ""
        if option[:1] == "-" and option[1:2].isdigit():
            return f"{option} looks like a negative number, and numbers are 0 or greater: leave out the minus sign"
        return f"{error.format_message().rstrip('.')}: ask «--help» for what there is"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        remedy = "; free some space and run the same command again" if error.errno == errno.ENOSPC else ""
        return f"{where}{error.strerror or error}{remedy}"
    return " ".join(str(error).split())


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _stop_soon(dropped: "sys.UnraisableHookArgs") -> None:
    """Send a signal again whose exception was dropped, as it is in ``__del__`` or where C has called Python."""
    number = {SystemExit: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}.get(dropped.exc_type)
    if number is None:
        sys.__unraisablehook__(dropped)
    else:
        threading.Timer(_SOON, _send, (number,)).start()


def _send(number: signal.Signals) -> None:
    """Send this process a signal, to the thread that handles it, so that it does not sleep on."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        interrupt_main(number)


def main() -> None:
    """Run the command: exit 0 done, 1 the answer is «no», 2 wrong use or unreadable input, 130 stopped."""
    # So that what cleans up after itself on the way out does so when it is told to end, too.
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _stop_soon
    try:
        status = app(standalone_mode=False)
    except (TyperException, ValueError, OSError) as error:
        show(f"aritmo: {_plain(error)}", err=True)
        status = 2
    except (KeyboardInterrupt, typer.Abort):
        print("aritmo: stopped", file=sys.stderr)
        status = 130
    finally:
        if distributed := sys.modules.get("aritmo.distributed"):
            distributed.leave()
    sys.exit(status or 0)
