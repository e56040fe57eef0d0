"""huey on SQLite with stored results: ``huey_side.py URL COUNT THREADS FOLDER`` prints its rate."""

import json
import sys
import threading
import time
from pathlib import Path

from huey import SqliteHuey
from posting import post

url, count, threads, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
huey = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)
lock, done, finished = threading.Lock(), 0, threading.Event()


@huey.task(retries=3)
def deliver(body):
    """Send one message."""
    return post(url, body)


@huey.signal("complete")
def count_one(*_):
    """Count a message whose result is stored."""
    global done
    with lock:
        done += 1
        if done == count:
            finished.set()


body = (folder / "body").read_bytes()
for _ in range(count):
    deliver(body)
consumer = huey.create_consumer(workers=threads, worker_type="thread", initial_delay=0.005, max_delay=0.05)
began = time.perf_counter()
consumer.start()
assert finished.wait(240)
elapsed = time.perf_counter() - began
consumer.stop(graceful=True)
sys.stdout.write(json.dumps({"rate": count / elapsed}) + "\n")
sys.stdout.flush()
