"""A client and its test, with Python's unittest: python3 client_test.py

SANDPIT is the path of the program; without it, `sandpit` must be on the PATH.
"""

import json
import os
import subprocess
import time
import unittest
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

SEED = Path(__file__).with_name("seed.jsonl")


def running_sandboxes(server, user_id):
    """The client: lists a user's running sandboxes, and retries after a 429."""
    query = urlencode({"metadata": json.dumps({"userId": user_id})})
    request = Request(f"{server['url']}/v1/sessions/sandboxes?{query}", headers={"X-API-Key": server["apiKey"]})
    for _ in range(3):
        try:
            with urlopen(request) as response:
                return [sandbox for sandbox in json.load(response) if sandbox["status"] == "active"]
        except HTTPError as error:
            if error.code != 429:
                raise
            time.sleep(int(error.headers["Retry-After"]))
    raise RuntimeError("the server is busy")


class ClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        command = [os.environ.get("SANDPIT", "sandpit"), "serve", "--test", "--random-seed", "1", "--seed", str(SEED)]
        cls.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.server = json.loads(cls.process.stdout.readline())

    @classmethod
    def tearDownClass(cls):
        cls.process.communicate()

    def setUp(self):
        self.control("reset")

    def control(self, what, body=None):
        data = json.dumps(body).encode() if body else b""
        headers = {"Content-Type": "application/json"}
        urlopen(Request(f"{self.server['url']}/_test/{what}", data, headers, method="POST")).close()

    def test_lists_a_sandbox_until_its_lifetime_ends(self):
        [sandbox] = running_sandboxes(self.server, "123")
        self.assertEqual(sandbox["sandbox_id"], "vmid-abc-15")
        self.control("clock", {"advance_seconds": 300})
        self.assertEqual(running_sandboxes(self.server, "123"), [])

    def test_waits_after_a_429(self):
        self.control("faults", {"path": "/v1/sessions/sandboxes", "status": 429, "retry_after": 0})
        self.assertEqual(len(running_sandboxes(self.server, "123")), 1)
        with urlopen(f"{self.server['url']}/_test/requests") as response:
            self.assertEqual([request["status"] for request in json.load(response)["requests"]], [429, 200])


if __name__ == "__main__":
    unittest.main()
