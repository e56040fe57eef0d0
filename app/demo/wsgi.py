"""The simulator as a process: ``python -m app.demo.wsgi HOST PORT``, configured by environment.

DEMO_SEND_TO and DEMO_INBOUND_KEY are required. Responses must have the key DEMO_PARTNER_KEY, if set.
DEMO_ORDERS is a file of earlier orders, one per line; the default is the example orders. DEMO_BUSY starts the
traffic generator. DEMO_STATE_FILE is the file that stores received messages across restarts, and
DEMO_STATE_OF names the database.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from app.demo.orders import example_orders
from app.demo.simulator import create_simulator
from app.demo.storage import load, save
from app.network.reader import read_json


def _orders() -> Iterable[dict[str, Any]]:
    if file := os.environ.get("DEMO_ORDERS"):
        return [read_json(line, max_bytes=len(line)) for line in Path(file).read_bytes().splitlines()]
    return example_orders(datetime.now(UTC))


application = create_simulator(
    send_to=os.environ["DEMO_SEND_TO"],
    inbound_key=os.environ["DEMO_INBOUND_KEY"],
    partner_key=os.environ.get("DEMO_PARTNER_KEY") or None,
    orders=_orders(),
    time_zone=os.environ.get("DEMO_TIME_ZONE") or "Asia/Kolkata",
)
if state_file := os.environ.get("DEMO_STATE_FILE"):
    state, of = application.extensions["state"], os.environ.get("DEMO_STATE_OF", "")
    load(state, Path(state_file), of)
    atexit.register(save, state, Path(state_file), of)
traffic = application.extensions["traffic"]
atexit.register(traffic.stop)
if os.environ.get("DEMO_BUSY"):
    traffic.start()

if __name__ == "__main__":
    # Faulty modes need the raw socket, which only Werkzeug's server exposes.
    server = make_server(sys.argv[1], int(sys.argv[2]), application, threaded=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server.serve_forever()
