"""Sends what InstaVM's Python SDK 0.26.1 sends, byte for byte, with the standard library alone.

Usage: instavm_sdk.py BASE_URL API_KEY OPERATION [ARGUMENT]; prints what the SDK would return, as JSON.
The SDK sends its requests with the `requests` library: queries are form-encoded, so the space after a colon arrives as
`+`, and bodies are json.dumps with its default separators. Starting a session sends no credential in a header.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

HEADERS = {
    "User-Agent": "python-requests/2.32.3",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
}


class InstaVM:
    def __init__(self, api_key, base_url):
        self.api_key = api_key
        self.base_url = base_url

    def list_sandboxes(self, metadata=None, limit=None):
        params = {}
        if metadata is not None:
            params["metadata"] = json.dumps(metadata)
        if limit is not None:
            params["limit"] = limit
        query = f"?{urllib.parse.urlencode(params)}" if params else ""
        return self._call("GET", f"/v1/sessions/sandboxes{query}")

    def start_session(self, options):
        body = {"api_key": self.api_key, "vm_lifetime_seconds": 300, **options}
        return self._call("POST", "/v1/sessions/session", body, with_key=False)["session_id"]

    def is_session_active(self, session_id):
        return self._call("GET", f"/v1/sessions/status/{session_id}")["vm_status"] == "active"

    def get_usage(self, session_id):
        return self._call("GET", f"/v1/sessions/usage/{session_id}")

    def kill(self, session_id):
        return self._call("POST", "/kill", {"session_id": session_id})

    def _call(self, method, path, body=None, with_key=True):
        headers = dict(HEADERS)
        if with_key:
            headers["X-API-Key"] = self.api_key
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.base_url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            # The SDK raises by status: AuthenticationError, SessionError, NetworkError.
            return {"status": error.code, "vm_status": None, "session_id": None}


if __name__ == "__main__":
    base_url, api_key, operation, *arguments = sys.argv[1:]
    values = [text if operation in ("is_session_active", "get_usage", "kill") else json.loads(text) for text in arguments]
    print(json.dumps(getattr(InstaVM(api_key, base_url), operation)(*values)))
