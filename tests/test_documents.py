"""What the pages in docs/ say about signatures and other pages is so."""

import __future__

import inspect
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from fastapi_users_sqlmodel import BaseUserManager, UUIDIDMixin
from tests.documents import ROOT, blocks, prose, read_page, recipes

PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]
HOOKS = read_page("docs/hooks.md")


class Manager(UUIDIDMixin, BaseUserManager[Any, uuid.UUID]):
    """What a project's manager inherits."""


def hooks() -> dict[str, Any]:
    """Return the methods that stand alone in the page's blocks."""
    found: dict[str, Any] = {}
    for code in blocks(HOOKS, "python"):
        if re.match(r"(async )?def ", code):
            exec(compile(code, "hooks.md", "exec", flags=__future__.annotations.compiler_flag), found)
    return {name: hook for name, hook in found.items() if inspect.isfunction(hook)}


def shape(hook: Any) -> list[Any]:
    """Return what a caller sees of a method; type variables have other names on the page."""
    _self, *parameters = inspect.signature(hook).parameters.values()
    return [inspect.iscoroutinefunction(hook), *((each.name, each.kind, each.default) for each in parameters)]


@pytest.mark.parametrize("name", hooks())
def test_hook_has_the_signature_of_the_page(name: str) -> None:
    assert shape(hooks()[name]) == shape(getattr(Manager, name))


def test_every_hook_is_on_the_page() -> None:
    assert {name for name in dir(Manager) if name.startswith("on_")} <= hooks().keys()


@pytest.mark.thorough
@pytest.mark.parametrize("recipe", recipes())
def test_apps_pass_mypy_strict(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = pytest.importorskip("mypy.api", reason="mypy is not among what the library's tests need")
    for name, code in recipes()[recipe].items():
        if not name.startswith("alembic/"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYPYPATH", ".")

    cache = f"--cache-dir={tmp_path.parent / 'mypy'}"  # What these apps import is the same for all.
    out, err, status = api.run(["--strict", "--config-file=", "--explicit-package-bases", cache, "."])

    assert (out.startswith("Success"), err, status) == (True, "", 0), out


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#|<)([^)#\s]+)", prose(read_page(page)))
    folder = (ROOT / page).parent
    assert [link for link in links if not (folder / link).exists()] == []
