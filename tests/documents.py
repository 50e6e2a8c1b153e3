"""The code of a page in Markdown: its blocks, the files that it names, and the lines that install the library."""

import ast
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


def recipes() -> dict[str, dict[str, str]]:
    """Return the files of the quick start's app after each recipe, by its heading; and as it is, for the empty one."""
    app = files(read_page("docs/quick-start.md"))
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", read_page("docs/recipes.md"), re.DOTALL | re.MULTILINE)
    changed = {
        title: {name: overlay(app[name], code) if name in app else code for name, code in files(section).items()}
        for title, section in sections
    }
    return {"": app, **{title: {**app, **changes} for title, changes in changed.items()}}


def overlay(source: str, change: str) -> str:
    """Return a module with what a recipe's block defines.

    What has the name of something in the module replaces it. What is new stands behind what precedes it in the block,
    or before what follows it, or at the end; new imports go to the top.
    """
    module = [(_name(node), ast.unparse(node)) for node in ast.parse(source).body]
    nodes = ast.parse(change).body
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    new: list[tuple[str, str]] = []
    place: int | None = None
    for node in nodes:
        if node in imports:
            continue
        name, text = _name(node), ast.unparse(node)
        known = [number for number, (defined, _) in enumerate(module) if name and name == defined]
        if known:
            module[known[0] : known[0] + 1] = [*new, (name, text)]
            place = known[0] + len(new) + 1
            new = []
        elif place is None:
            new.append((name, text))
        else:
            module.insert(place, (name, text))
            place += 1
    return "\n".join([*map(ast.unparse, imports), *(text for _, text in [*module, *new])]) + "\n"


def _name(node: ast.stmt) -> str:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""
