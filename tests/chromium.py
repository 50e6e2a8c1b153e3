"""A real browser for the tests: a Chromium of this machine, or Debian's, unpacked into a folder and not installed."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from playwright.sync_api import sync_playwright

STARTS_WITHIN = 60.0
DOWNLOADED_WITHIN = 180.0
NAMES = ["chromium-headless-shell", "chromium", "google-chrome-stable", "google-chrome", "chromium-browser"]
PACKAGE = "chromium-headless-shell"


@dataclass(frozen=True)
class Chromium:
    """An executable, and where its libraries are if they are not the machine's own."""

    executable: Path
    libraries: Sequence[Path] = ()


def find_chromium() -> Chromium:
    """Find the one that CHROMIUM names, playwright's own, or one of this machine; or get Debian's.

    Where none can be had, the test is skipped.
    """
    if named := os.environ.get("CHROMIUM"):
        return Chromium(Path(named))
    try:
        with sync_playwright() as playwright:
            own = Path(playwright.chromium.executable_path)
    except Exception as error:  # noqa: BLE001  # A plain Exception is what it raises when its driver ends
        # Its wheel brings a Node.js, which wants a library that the smallest systems lack.
        pytest.skip(f"playwright does not start, on Debian it needs libatomic1: {error}")
    if own.exists():
        return Chromium(own)
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return Chromium(Path(found))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = cache / "fastapi-users-sqlmodel" / PACKAGE
    try:
        if not folder.exists():
            _download(folder)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        pytest.skip(
            "no Chromium: `uv run playwright install --with-deps chromium` gets one, CHROMIUM names another, "
            f"and Debian's could not be had: {said[-1] if said else type(error).__name__}"
        )
    return Chromium(folder / "usr/lib/chromium" / PACKAGE, sorted({path.parent for path in folder.rglob("*.so*")}))


@contextlib.asynccontextmanager
async def open_chromium(chromium: Chromium, *, names: Sequence[str] = ()) -> AsyncIterator[Browser]:
    """Yield a browser that reaches this machine alone: as localhost, by its address, and by these names."""
    rules = [f"MAP {name} 127.0.0.1" for name in names] + ["MAP * ~NOTFOUND"]
    rules += [f"EXCLUDE {host}" for host in ("localhost", "127.0.0.1")]
    libraries = {"LD_LIBRARY_PATH": os.pathsep.join(map(str, chromium.libraries))} if chromium.libraries else {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.executable,
            args=[f"--host-resolver-rules={', '.join(rules)}", "--no-proxy-server"],
            env={**os.environ, **libraries},
            timeout=STARTS_WITHIN * 1000,
        )
        try:
            yield browser
        finally:
            await browser.close()


def _download(folder: Path) -> None:
    """Get the package, and those of its libraries that this machine lacks. Nobody has to be root for that."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        lists, archives, unpacked = (Path(name, part) for part in ("lists", "archives", "unpacked"))
        for part in (lists, archives):
            (part / "partial").mkdir(parents=True)
        settings = {
            "Dir::State::Lists": lists,
            "Dir::Cache": name,
            "Dir::Cache::Archives": archives,
            # The system's own folders are not written to, and its locks are not needed.
            "Debug::NoLocking": "true",
            # Root's apt would become a user who may not write here.
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "20",
        }
        options = [word for setting, value in settings.items() for word in ("-o", f"{setting}={value}")]
        _run("apt-get", *options, "update")
        _run("apt-get", *options, "install", "--download-only", "--no-install-recommends", "--yes", PACKAGE)
        for archive in archives.glob("*.deb"):
            _run("dpkg-deb", "--extract", str(archive), str(unpacked))
        try:
            # Only a whole one ever has the name.
            unpacked.rename(folder)
        except OSError:
            # Another run was first.
            if not folder.exists():
                raise


def _run(*command: str) -> None:
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=DOWNLOADED_WITHIN,
        env={**os.environ, "LC_ALL": "C"},
    )
