"""The service: users, groups, items and posts, on the library."""

import sys

if sys.version_info < (3, 13):  # noqa: UP036  # Somebody may start it without uv, which reads .python-version.
    raise SystemExit("The service needs Python 3.13 or later; the library alone runs on 3.12.")
