"""`rootstock demo`: the service from outside, as its clients see it. Knows HTTP and nothing else of Rootstock."""

import sys
from pathlib import Path

FAILED, NOT_INSTALLED = 1, 2
EXTRA = {"matplotlib", "mlxtend", "openai", "sklearn"}
"""Packages that only the demo needs."""


def main(output: Path) -> int:
    """Runs the demo and returns its exit status."""
    try:
        from app.demo import service, story

        try:
            story.run(output)
        except service.DemoError as error:
            print(f"rootstock demo: {error}", file=sys.stderr)
            return FAILED
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        print(f"rootstock demo needs {error.name}: pip install 'rootstock[demo]'", file=sys.stderr)
        return NOT_INSTALLED
    return 0
