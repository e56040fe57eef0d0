"""Celery on Redis with late acknowledgment: ``celery_side.py URL COUNT THREADS FOLDER`` prints its rate."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import redis
from celery import Celery
from posting import post

URL = os.environ.get("BENCH_URL", "")
REDIS = os.environ.get("BENCH_REDIS", "")
app = Celery("celery_side", broker=REDIS, backend=REDIS)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_ignore_result=False)
counter = redis.Redis.from_url(REDIS) if REDIS else None


@app.task(max_retries=3)
def deliver(body):
    """Send one message; the last one stores the time."""
    text = post(URL, body.encode())
    pipeline = counter.pipeline()
    pipeline.incr("done").set("at", time.time()).execute()
    return text


def main():
    """Fill the queue, start a worker and wait for the last message."""
    from redis_here import redis_server

    url, count, threads, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    with redis_server(folder) as redis_url:
        connection = redis.Redis.from_url(redis_url)
        app.conf.update(broker_url=redis_url, result_backend=redis_url)
        body = (folder / "body").read_text()
        for _ in range(count):
            deliver.delay(body)
        command = [sys.executable, "-m", "celery", "-A", "celery_side", "worker", "-P", "threads"]
        worker = subprocess.Popen(
            [*command, "-c", str(threads), "--without-gossip", "--without-mingle"],
            env={**os.environ, "BENCH_URL": url, "BENCH_REDIS": redis_url},
            cwd=Path(__file__).parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not connection.get("done"):
                time.sleep(0.001)
            began = time.time()
            while int(connection.get("done")) < count:
                time.sleep(0.01)
            elapsed = float(connection.get("at")) - began
        finally:
            worker.terminate()
            worker.wait()
    sys.stdout.write(json.dumps({"rate": (count - 1) / elapsed}) + "\n")


if __name__ == "__main__":
    main()
