"""The bench starts as the README says, and compares within rounds. What it measures, it measures itself."""

import statistics
import subprocess
import sys
from pathlib import Path

from bench.measure import Measured, Sample

ROOT = Path(__file__).parents[1]


def test_the_command() -> None:
    """`uv run bench` runs the folder."""
    ran = subprocess.run([sys.executable, "bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for option in ("--write", "--only", "--database", "--quick"):
        assert option in ran.stdout


def test_what_would_not_be_the_whole_is_not_written() -> None:
    command = [sys.executable, "bench", "--write", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "measured in full" in ran.stderr


def test_a_machine_that_gets_slower_changes_no_ratio() -> None:
    """Each round is compared by itself, so that drift cancels."""
    speeds = [1000.0, 400.0, 100.0, 50.0, 700.0]
    service = Measured(tuple(Sample(speed / 2, 2000 / speed) for speed in speeds))
    limit = Measured(tuple(Sample(speed, 1000 / speed) for speed in speeds))
    assert service.throughput_against(limit) == 0.5
    assert service.cpu_against(limit) == 2.0
    assert service.per_second == statistics.median(speeds) / 2


def test_one_round_of_bad_luck_changes_no_ratio() -> None:
    service = Measured(tuple(Sample(one, 1.0) for one in (500.0, 500.0, 1.0, 500.0, 500.0)))
    limit = Measured(tuple(Sample(1000.0, 1.0) for _ in range(5)))
    assert service.throughput_against(limit) == 0.5
