"""What is tested here is what a stranger gets: the wheel, and nothing of this repository or its environment."""

import json

from tests.documents import installed, read_page
from tests.outside.project import Outside
from tests.programs import ROOT

LOOK = """
import importlib.metadata, importlib.util, json, sys
import fastapi_users_sqlmodel
print(json.dumps({
    "file": fastapi_users_sqlmodel.__file__,
    "path": sys.path,
    "missing": [n for n in ("app", "tests", "aiosmtplib", "psycopg", "redis") if importlib.util.find_spec(n) is None],
}))
"""


def test_library_comes_from_the_wheel(outside: Outside) -> None:
    for fresh in (False, True):
        ran = outside.python("-c", LOOK, fresh=fresh)
        assert (ran.status, ran.err) == (0, "")
        seen = json.loads(ran.out)
        assert "/site-packages/" in seen["file"]
        assert not [each for each in (seen["file"], *seen["path"]) if each.startswith(str(ROOT))]
        assert seen["missing"] == ["app", "tests", "aiosmtplib", "psycopg", "redis"]


def test_folder_is_empty(outside: Outside) -> None:
    assert list(outside.folder.iterdir()) == []


def test_readme_installs_what_the_quick_start_installs() -> None:
    line = installed(read_page("README.md"))
    assert line == installed(read_page("docs/quick-start.md"))[: len(line)]
