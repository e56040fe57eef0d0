"""Mutation testing of some modules with mutmut: ``make mutants``.

Each mutant is one small change of the code, such as ``<`` to ``<=``. A mutant that no test notices survives
and shows what no test checks. mutmut works in ``.mutants/``, a copy of the repository.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".mutants"
PACKAGES = ("accounts", "delivery", "inbound", "network", "orders")
"""The packages whose changed modules are mutated by default."""
GOAL = 95
"""Percent of the mutants of a module that tests should notice."""
DETECTED = ("killed", "timeout", "suspicious")


def main() -> None:
    """Mutate the chosen modules, print survivors and a score for each, and fail below the goal."""
    options = _options()
    modules = options.modules or _changed(options.base)
    if not modules:
        print(f"No module of {', '.join(PACKAGES)} differs from {options.base}. Choose some with MODULES=.")
        return
    tests = options.tests or sorted({f"tests/{Path(module).parts[1]}" for module in modules})
    _copy_repository()
    _configure(modules, tests)
    mutmut = [sys.executable, "-m", "mutmut"]
    chosen = _sample(modules, options.sample) if options.sample else []
    subprocess.run([*mutmut, "run", "--max-children", str(options.workers), *chosen], cwd=COPY, check=True)
    results = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=COPY, check=True, capture_output=True, text=True
    )
    sys.exit(not _report(results.stdout))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="Such as app/delivery/retry_policy.py.")
    parser.add_argument("--tests", nargs="*", help="Test files. Default: the tests of the modules' packages.")
    parser.add_argument("--base", default="main", help="Modules that differ from this commit are mutated.")
    parser.add_argument(
        "--sample", type=int, metavar="N", help="At most N mutants of each module, always the same."
    )
    parser.add_argument("--workers", type=int, default=2, help="Number of processes.")
    return parser.parse_args()


def _changed(base: str) -> list[str]:
    paths = [f"app/{package}/*.py" for package in PACKAGES]
    command = ["git", "diff", "--name-only", "--diff-filter=d", base, "--", *paths]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def _sample(modules: list[str], count: int) -> list[str]:
    """Choose mutants of each module at random. The fixed seed makes two runs comparable."""
    chosen: list[str] = []
    for module in modules:
        mutants = mutate_file_contents(module, (ROOT / module).read_text()).mutant_names
        names = [get_mutant_name(Path(module), name) for name in mutants]
        chosen += random.Random(0).sample(names, min(count, len(names)))
    return chosen


def _copy_repository() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, files.stdout.split("\0")):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)


def _configure(modules: list[str], tests: list[str]) -> None:
    """Add the choice to the copy of pyproject.toml: mutmut has no options for it."""
    path = COPY / "pyproject.toml"
    header = "[tool.mutmut]\n"
    choice = {"only_mutate": modules, "pytest_add_cli_args_test_selection": tests}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in choice.items())
    path.write_text(path.read_text().replace(header, header + lines))


def _report(results: str) -> bool:
    """Print survivors and scores; returns whether all modules reach the goal."""
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    for line in results.splitlines():
        name, _, status = line.strip().partition(": ")
        if not status or status in ("skipped", "not checked"):
            continue
        counts[re.split(r"\.x", name)[0]][status in DETECTED] += 1
        if status not in DETECTED:
            print(f"{status}: {name}")
    for module, count in sorted(counts.items()):
        percent = 100 * count[True] / count.total()
        print(f"{module}: {count[True]} of {count.total()} noticed, {percent:.0f} %")
    return all(100 * count[True] >= GOAL * count.total() for count in counts.values())


if __name__ == "__main__":
    main()
