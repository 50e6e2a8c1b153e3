"""The code of a page in Markdown: its blocks, the files that it names, and the line that installs the library."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r'^```(\w*)(?: title="([^"\n]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
DISTRIBUTION = "fastapi-users-sqlmodel"


def read_page(name: str) -> str:
    """Return the text of a page, such as `README.md` or `docs/quick-start.md`."""
    return (ROOT / name).read_text()


def walk(page: str) -> list[tuple[str, str, str]]:
    """List the fenced blocks in their order: language, name of the file (```python title="app.py"), and text."""
    return _FENCED.findall(page)


def blocks(page: str, language: str) -> list[str]:
    """List the blocks of a language; "" is that of blocks that name none."""
    return [code for found, _, code in walk(page) if found == language]


def files(page: str) -> dict[str, str]:
    """Return the blocks that are files, by their names."""
    return {name: code for _, name, code in walk(page) if name}


def prose(page: str) -> str:
    """Return what is no block of code."""
    return _FENCED.sub("", page)


def installed(page: str) -> list[str]:
    """List what the page's `uv pip install` lines install, in their order."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [
        word for line in lines if line.startswith("uv pip install ") for word in shlex.split(line, comments=True)[3:]
    ]
