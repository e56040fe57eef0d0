"""The simulator as gunicorn loads it; ``flask demo`` says by environment where PO Confirm is."""

from __future__ import annotations

import os

from app.demo.simulator import create_simulator

application = create_simulator(
    send_to=os.environ["DEMO_SEND_TO"],
    inbound_key=os.environ["DEMO_INBOUND_KEY"],
    partner_key=os.environ.get("DEMO_PARTNER_KEY") or None,
)
