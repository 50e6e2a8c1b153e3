"""What every contender is told, and the bench itself, so that it can sign tokens that the contenders believe."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]

ENVIRONMENT = {
    "ENVIRONMENT": "development",
    "SECRET_KEY": "the secret of the bench, which guards nothing at all",
    "SECRET_KEY_PREVIOUS": "",
    "PUBLIC_URL": "http://localhost:8000",
    "HOST": "127.0.0.1",
    "THROTTLING": "off",
    "REDIS_URL": "",
    "TRUSTED_PROXIES": "",
    "REQUIRE_VERIFIED": "off",
    "LOG_LEVEL": "ERROR",
    # A contender is started in a folder of its own, and finds the code all the same.
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
}


def prepare() -> None:
    """Put this process into the environment of the contenders; whoever imports settings does so afterwards."""
    os.environ.update(ENVIRONMENT)
