"""Runs shell commands for the tests outside: each line is a command as JSON, each answer its result."""
import json
import socketserver
import subprocess


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            command = ["bash", "-c", json.loads(line)]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            answer = {"code": done.returncode, "output": done.stdout.decode(errors="replace")}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


Server(("0.0.0.0", 7000), Handler).serve_forever()
