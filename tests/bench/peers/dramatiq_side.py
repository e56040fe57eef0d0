"""dramatiq on Redis, one process: ``dramatiq_side.py URL COUNT THREADS FOLDER`` prints its rate."""

import json
import sys
import threading
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from posting import post
from redis_here import redis_server

url, count, threads, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
lock, done, finished = threading.Lock(), 0, threading.Event()


class Count(dramatiq.Middleware):
    """Counts acknowledged messages."""

    def after_ack(self, *_):
        global done
        with lock:
            done += 1
            if done == count:
                finished.set()


with redis_server(folder) as redis_url:
    broker = RedisBroker(url=redis_url)
    broker.add_middleware(Count())
    dramatiq.set_broker(broker)

    @dramatiq.actor(max_retries=3)
    def deliver(body):
        """Send one message."""
        post(url, body.encode())

    body = (folder / "body").read_text()
    for _ in range(count):
        deliver.send(body)
    worker = dramatiq.Worker(broker, worker_threads=threads)
    began = time.perf_counter()
    worker.start()
    assert finished.wait(240)
    elapsed = time.perf_counter() - began
    worker.stop()
sys.stdout.write(json.dumps({"rate": count / elapsed}) + "\n")
