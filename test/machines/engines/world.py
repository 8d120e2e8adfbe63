"""The Internet of a test: HTTP on port 80, DNS on 53, and a port that repeats what it is sent on 7."""
import http.server, ipaddress, socket, socketserver, struct, sys, threading

ADDRESSES = {'open.test': ['20.0.0.1'], 'closed.test': ['10.99.0.5'], 'rebind.test': ['20.0.0.1', '10.99.0.5']}


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = allow_reuse_address = True
    address_family = socket.AF_INET6

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, *_):
        pass  # A machine's connection was reset, as rules do.


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if self.path == '/redirect' else 200)
        if self.path == '/redirect':
            self.send_header('Location', 'http://10.99.0.5/')
        self.end_headers()
        self.wfile.write(b'REACHED')

    def log_message(self, *_):
        pass


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)


def answer(query, found):
    """Returns the answer to a query for A; other types have none."""
    end = query.index(b'\0', 12) + 5
    name = b'.'.join(labels(query)).decode()
    wants_a = struct.unpack('>H', query[end - 4:end - 2])[0] == 1
    addresses = ADDRESSES.get(name, []) if wants_a else []
    # Each query has the next address first: the second lookup leads elsewhere than the first.
    turn = found[name] = found.get(name, -1) + 1 if wants_a else found.get(name, -1)
    chosen = [addresses[turn % len(addresses)]] if addresses else []
    records = b''.join(b'\xc0\x0c\0\1\0\1\0\0\0\0\0\4' + ipaddress.ip_address(each).packed for each in chosen)
    return query[:2] + b'\x81\x80\0\1' + struct.pack('>H', len(chosen)) + b'\0\0\0\0' + query[12:end] + records


def labels(query):
    at = 12
    while query[at]:
        yield query[at + 1:at + 1 + query[at]]
        at += 1 + query[at]


def serve_datagrams(port, reply):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # The answer has to come from the address that was asked.
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    server.bind(('::', port))
    while True:
        data, ancillary, _, peer = server.recvmsg(4096, 128)
        local = [(*level, info) for *level, info in ancillary if level == [socket.IPPROTO_IPV6, socket.IPV6_PKTINFO]]
        server.sendmsg([reply(data)], local, 0, peer)


found = {}
for port, handler in ((80, Pages), (7, Echo)):
    threading.Thread(target=Server(('::', port), handler).serve_forever, daemon=True).start()
threading.Thread(target=serve_datagrams, args=(7, lambda data: data), daemon=True).start()
threading.Thread(target=serve_datagrams, args=(53, lambda data: answer(data, found)), daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
