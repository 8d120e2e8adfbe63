"""Checks how often the package sends a request that a test server answers with an error."""

import json
import os
from urllib.request import Request, urlopen

from checks import check

URL = os.environ.get("FAULTY_URL")
KEY = os.environ.get("FAULTY_KEY")


def control(method, path, body=None):
    """Calls the test server's control and returns its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(URL + path, data, {"Content-Type": "application/json"}, method=method)
    with urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


async def attempts(api, status, headers):
    """Returns how many requests one create becomes that is answered with this status."""
    control("DELETE", "/_test/requests")
    fault = {"method": "POST", "path": "/v2/sandboxes", "times": 9, "status": status, "headers": headers}
    control("POST", "/_test/faults", fault | {"retry_after": 0})
    try:
        await api.sandbox(api_url=URL, api_key=KEY)
    except Exception:
        return len(control("GET", "/_test/requests?method=POST&path=/v2/sandboxes")["requests"])
    finally:
        control("DELETE", "/_test/faults")
    raise AssertionError(f"{status} was no error")


@check("works", "Should-Retry", since="2.60.0")
async def should_retry(api):
    assert await attempts(api, 503, {}) == 4
    assert await attempts(api, 503, {"Should-Retry": "false"}) == 1
    assert await attempts(api, 500, {}) == 1
    assert await attempts(api, 500, {"Should-Retry": "true"}) == 4


@check("works", "Should-Retry of what is not offered", since="2.60.0")
async def never_repeated(api):
    control("DELETE", "/_test/requests")
    try:
        await api.sandbox(api_url=URL, api_key=KEY, volume_mounts={"/data": "models"})
    except Exception as error:
        assert "Sandpit" in str(error), error
    sent = control("GET", "/_test/requests?method=POST&path=/v2/sandboxes")["requests"]
    assert len(sent) == 1, len(sent)
