"""``make bench``: one JSON object per line with a value, its reference and the ratio."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path

from tests.bench import measures


def main() -> None:
    """Run the benchmarks whose names start with one of the arguments, or all of them."""
    wanted = tuple(sys.argv[1:])
    # The references do not log their requests.
    logging.getLogger("app.request").setLevel(logging.WARNING)
    for name, bench in measures.ALL.items():
        if wanted and not name.startswith(wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="po-confirm-bench-") as folder:
            for line in bench(Path(folder)):
                full = ".".join([name, *([line.pop("part")] if "part" in line else [])])
                sys.stdout.write(json.dumps({"bench": full, **line}, ensure_ascii=False) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
