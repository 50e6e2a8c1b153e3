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


def blocks(page: str, language: str) -> list[str]:
    """List the fenced blocks of a language; "" is that of blocks that name none."""
    return [code for found, _, code in _FENCED.findall(page) if found == language]


def files(page: str) -> dict[str, str]:
    """Return the blocks that are files, by the name that their first line gives them: ```python title="app.py"."""
    found = [(name, code) for _, name, code in _FENCED.findall(page) if name]
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), f"one page writes a file twice: {names}"
    return dict(found)


def installed(page: str) -> list[str]:
    """List what the page's `uv pip install` lines install, in their order."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [
        word for line in lines if line.startswith("uv pip install ") for word in shlex.split(line, comments=True)[3:]
    ]
