"""``make chaos``: thousands of messages, hundreds of kills, on SQLite and on PostgreSQL; prints the counts.

``python -m tests.chaos [--messages N] [--kills N] [sqlite|postgresql]``: one JSON object a database. The exit
code is 1 if anything was lost, changed, sent unlogged, or sent more often than the kills explain.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.bench.ground import answer_all, database_of, fresh_app, populate
from tests.chaos.storm import Counts, Plan, partner_that_records, storm
from tests.postgresql import Server


def main() -> int:
    """Run the storms; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--messages", type=int, default=8000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    wanted = parser.parse_args()
    well = True
    for name in wanted.databases:
        plan = Plan(kills=wanted.kills)
        counts = _on(name, wanted.messages, plan)
        sys.stdout.write(json.dumps({"chaos": name, "senders": plan.senders, **counts.as_dict()}) + "\n")
        sys.stdout.flush()
        well = well and is_well(counts, plan)
    return 0 if well else 1


def is_well(counts: Counts, plan: Plan) -> bool:
    """Whether the promise held."""
    explained = counts.duplicates <= counts.kills * plan.senders
    return explained and not (counts.lost or counts.unsettled or counts.changed or counts.unlogged)


def _on(name: str, messages: int, plan: Plan) -> Counts:
    with tempfile.TemporaryDirectory(prefix="po-confirm-chaos-") as folder:
        if name == "sqlite":
            return _storm(Path(folder), {}, messages, plan)
        server = Server()
        try:
            server.execute("CREATE DATABASE chaos")
            return _storm(Path(folder), {"database_url": server.url("chaos")}, messages, plan)
        finally:
            server.remove()


def _storm(folder: Path, settings: dict[str, str], messages: int, plan: Plan) -> Counts:
    app = fresh_app(folder, **settings)
    with partner_that_records(folder) as (url, record):
        person_id, ids = populate(app, url, orders=messages, concurrency=plan.senders * plan.deliverers)
        answer_all(app, person_id, ids)
        return storm(database_of(app), record, plan)


if __name__ == "__main__":
    sys.exit(main())
