"""The task that every queue runs: one POST over the session of its thread, and a check of the response."""

import threading

import requests

_own = threading.local()


def post(url, body):
    """POST the body and return the text of the response. Errors: HTTPError unless it succeeded."""
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.trust_env = False
    response = _own.session.post(
        f"{url}/api/v0/purchase-order/req-confirm",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=15,
        allow_redirects=False,
    )
    assert response.json()["response_code"] == 0
    return response.text
