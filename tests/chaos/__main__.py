"""``make chaos``: thousands of messages, hundreds of kills, on SQLite and on PostgreSQL; prints the counts.

``python -m tests.chaos [--messages N] [--kills N] [sqlite|postgresql]``: one JSON object per database.
The exit code is 1 if a message was lost, changed, sent without a log entry, or sent more often than kills
explain.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.setup import confirm_all, database_of, fresh_app, populate
from tests.chaos.run import Counts, Plan, partner_that_records, run_chaos
from tests.postgresql import Server


def main() -> int:
    """Run the tests; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--messages", type=int, default=8000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    options = parser.parse_args()
    ok = True
    for name in options.databases:
        plan = Plan(kills=options.kills)
        counts = _run_on(name, options.messages, plan)
        sys.stdout.write(json.dumps({"chaos": name, "senders": plan.senders, **counts.as_dict()}) + "\n")
        sys.stdout.flush()
        ok = ok and is_ok(counts, plan)
    return 0 if ok else 1


def is_ok(counts: Counts, plan: Plan) -> bool:
    """Whether at-least-once delivery held."""
    explained = counts.duplicates <= counts.kills * plan.senders
    return explained and not (counts.lost or counts.unsettled or counts.changed or counts.unlogged)


def _run_on(name: str, messages: int, plan: Plan) -> Counts:
    with tempfile.TemporaryDirectory(prefix="po-confirm-chaos-") as folder:
        if name == "sqlite":
            return _run(Path(folder), {}, messages, plan)
        server = Server()
        try:
            server.execute("CREATE DATABASE chaos")
            return _run(Path(folder), {"database_url": server.url("chaos")}, messages, plan)
        finally:
            server.remove()


def _run(folder: Path, settings: dict[str, str], messages: int, plan: Plan) -> Counts:
    app = fresh_app(folder, **settings)
    with partner_that_records(folder) as (url, record):
        person_id, ids = populate(app, url, orders=messages, concurrency=plan.senders * plan.deliverers)
        confirm_all(app, person_id, ids)
        return run_chaos(database_of(app), record, plan)


if __name__ == "__main__":
    sys.exit(main())
