"""What the environment and `.env` say, as text without the whitespace around it, and which names are misspelt."""

import difflib
import io
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import BeforeValidator

ENV_FILE = Path(".env")

# As `difflib` measures: DATABSE_URL, REDIS_URI and MAIL_FORM are near, HTTP_URL and DATABASE_PRIVATE_URL are not.
_NEAR = 0.88
# HOST and PORT are near to too many names of others.
_SHORTEST_NAME = 6


def _digits(value: object) -> object:
    # Python, and pydantic with it, reads 80_80 as 8080.
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]+", value) is None:
        raise ValueError("Input should be a valid integer, unable to parse string as an integer")
    return value


# A number in the environment.
Integer = Annotated[int, BeforeValidator(_digits)]


class EnvFileProblem(Exception):
    """The file `.env` cannot be read; the message is a clause for people, without any value."""


def given_values() -> dict[str, str]:
    """Return what is set and not empty, by its name in lower case, without the whitespace around it.

    Raises:
        EnvFileProblem: There is an `.env`, and it cannot be read.
    """
    values = {**_env_file(), **os.environ}
    return {name.lower(): value.strip() for name, value in values.items() if value and value.strip()}


def _env_file() -> Mapping[str, str | None]:
    try:
        content = ENV_FILE.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except OSError as error:
        raise EnvFileProblem(f"cannot be read: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise EnvFileProblem("is in UTF-16 or no text at all; save it as UTF-8")
    try:
        # Some editors begin the file with a byte order mark.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EnvFileProblem(f"is not in UTF-8, see line {line}; save it as UTF-8") from None
    wrong = [str(binding.original.line) for binding in parse_stream(io.StringIO(text)) if binding.error]
    if wrong:
        raise EnvFileProblem(f"has lines that are not NAME=value: {', '.join(wrong)}")
    return dotenv_values(stream=io.StringIO(text))


def misspelt(given: Collection[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Find names that are almost those of a setting that is not set, and say which.

    A name near to a setting that is set is taken for somebody else's.
    """
    missing = [name for name in known if name not in given and len(name) >= _SHORTEST_NAME]
    in_singular = {_singular(name): name for name in missing}
    for name in sorted(given):
        if name in known:
            continue
        if (near := in_singular.get(_singular(name))) is not None:
            yield name, near
        elif close := difflib.get_close_matches(name, missing, n=1, cutoff=_NEAR):
            yield name, close[0]


def _singular(name: str) -> str:
    """Return a name with each word in the singular, so that TRUSTED_PROXY is found to be TRUSTED_PROXIES."""
    return re.sub(r"(?<!s)s(?=_|$)", "", re.sub(r"ies(?=_|$)", "y", name))
