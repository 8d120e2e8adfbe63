"""A receiver of webhooks, on a free port of loopback."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from calls import until


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
        until(lambda: len(found()) >= count, f'the receiver has not {count} messages with {text}', seconds)
        return found()

    def with_id(self, delivery: str) -> list[tuple[dict[str, str], bytes]]:
        """Returns the messages of a delivery: its id is in a header."""
        return [message for message in list(self.received) if delivery in message[0].values()]
