"""Measure how fast the service is, against what it may be compared with: uv run bench [--write]."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # Whoever runs a folder has that folder first on the path, and not the one that it is in.
    sys.path[0] = str(Path(__file__).parents[1])

    from bench.environment import prepare

    prepare()

    from bench.cli import main

    main()
