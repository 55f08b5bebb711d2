"""Whether the Hub is to be asked for a model's files, and what is said where it has none of them."""

import ssl
from functools import cache
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from huggingface_hub import constants

_PATIENCE = 10.0
"""Seconds for a first answer."""


def local_only(source: str) -> bool:
    """Return whether a model's files are to be had from this machine alone: a folder's, or with no Hub in reach.

    The Hub's library would ask for each file six times over 23 seconds, and say each time why in vain.
    """
    return Path(source).is_dir() or constants.HF_HUB_OFFLINE or not _answers(constants.ENDPOINT)


def not_there(name: str) -> ValueError:
    """Return the error for a model that neither the Hub nor an earlier download has."""
    if constants.HF_HUB_OFFLINE:
        why = "no earlier download lies here, and HF_HUB_OFFLINE forbids another; unset it"
    elif not _answers(constants.ENDPOINT):
        why = f"{constants.ENDPOINT} does not answer, and no earlier download lies here; check the network"
    else:
        why = "there is no such model, or it is not public; check the name"
    return ValueError(f"model {name} could not be had from the Hub as safetensors: {why} or give a folder")


@cache
def _answers(endpoint: str) -> bool:
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_PATIENCE):
            return True
    except HTTPError:
        return True
    except URLError as error:
        # Which certificates are trusted is a matter of the Hub's library, which has settings for that.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, HTTPException, ValueError):
        return False
