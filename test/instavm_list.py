"""Lists sandboxes the way InstaVM's Python SDK does, byte for byte, with the standard library alone.

Usage: instavm_list.py BASE_URL API_KEY [METADATA_JSON]; prints the sandboxes it was answered, as JSON.
The SDK always sends `limit`, and `metadata` as json.dumps writes it; its HTTP library form-encodes the query, so the
space after a colon arrives as `+`.
"""

import json
import sys
import urllib.parse
import urllib.request


def list_sandboxes(base_url, api_key, metadata=None, limit=100):
    params = {"limit": limit}
    if metadata is not None:
        params["metadata"] = json.dumps(metadata)
    request = urllib.request.Request(
        f"{base_url}/v1/sessions/sandboxes?{urllib.parse.urlencode(params)}",
        headers={
            "X-API-Key": api_key,
            "User-Agent": "python-requests/2.32.3",
            "Accept-Encoding": "gzip, deflate",
            "Accept": "*/*",
            "Connection": "keep-alive",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


if __name__ == "__main__":
    filter_json = json.loads(sys.argv[3]) if len(sys.argv) > 3 else None
    print(json.dumps(list_sandboxes(sys.argv[1], sys.argv[2], filter_json)))
