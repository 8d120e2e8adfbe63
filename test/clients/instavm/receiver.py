"""A receiver of webhooks, on a free port of loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from calls import Unmet


class Receiver:
    def __init__(self) -> None:
        received: list[tuple[dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
                received.append((dict(self.headers), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.received = received
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}/hook'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait_for(self, text: str, count: int = 1, seconds: float = 4) -> list[tuple[dict[str, str], bytes]]:
        """Returns the messages whose body contains the text, once there are so many."""
        found = lambda: [(headers, body) for headers, body in list(self.received) if text in body.decode()]
        self.until(lambda: len(found()) >= count, f'{count} messages with {text}', seconds)
        return found()

    def until(self, has_come: Callable[[], bool], what: str, seconds: float = 4) -> None:
        end = time.monotonic() + seconds
        while not has_come():
            if time.monotonic() > end:
                types = [json.loads(body).get('type') for _, body in self.received]
                raise Unmet(f'the receiver did not get {what}, the last are {types[-5:]}')
            time.sleep(0.02)
