"""Tries to reach an address in a way, and prints REACHED, or the error that came instead."""
import ctypes, os, socket, struct, sys, urllib.request

DEVICE, LOOPBACK = b'eth0', b'lo'
IP_PKTINFO, IP_UNICAST_IF, SO_MARK, CLONE_NEWUSER, CLONE_NEWNET = 8, 50, 36, 0x10000000, 0x40000000


def family(address):
    return socket.AF_INET6 if ':' in address else socket.AF_INET


def place(address, port):
    return socket.getaddrinfo(address, port, family(address))[0][4]


def stream(address, port, prepare=lambda opened: None):
    with socket.socket(family(address)) as opened:
        opened.settimeout(5)
        prepare(opened)
        opened.connect(place(address, port))
        opened.sendall(b'GET / HTTP/1.0\r\n\r\n')
        data = b''
        while chunk := opened.recv(4096):
            data += chunk
        return data.decode()


def datagram(address, port, ancillary=()):
    with socket.socket(family(address), socket.SOCK_DGRAM) as opened:
        opened.settimeout(5)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        opened.sendmsg([b'REACHED'], ancillary, 0, place(address, port))
        return opened.recv(4096).decode()


def page(url):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).read().decode()


def option(level, name, value):
    return lambda opened: opened.setsockopt(level, name, value)


def second_lookup(address, port):
    socket.getaddrinfo('rebind.test', port, socket.AF_INET)
    return page('http://rebind.test/')


def other_namespace(address, port):
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), 'unshare')
    return stream(address, port)


def index():
    return socket.if_nametoindex(DEVICE.decode())


def source_route(address):
    hops = socket.inet_aton('20.0.0.1') + socket.inet_aton(address)
    return struct.pack('BBBB', 1, 0x83, 3 + len(hops), 4) + hops


WAYS = {
    'plain': stream,
    'bound to the device': lambda a, p: stream(a, p, option(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE)),
    'bound to loopback': lambda a, p: stream(a, p, option(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, LOOPBACK)),
    'by the interface': lambda a, p: stream(a, p, option(socket.IPPROTO_IP, IP_UNICAST_IF, struct.pack('!I', index()))),
    'without routes': lambda a, p: stream(a, p, option(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)),
    'by a source route': lambda a, p: stream(a, p, option(socket.IPPROTO_IP, socket.IP_OPTIONS, source_route(a))),
    'with a mark': lambda a, p: stream(a, p, option(socket.SOL_SOCKET, SO_MARK, 1)),
    'datagram': lambda a, p: datagram(a, 7),
    'datagram of the interface': lambda a, p: datagram(
        a, 7, [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack('I4s4s', index(), b'', b''))]),
    'redirect': lambda a, p: page(f'http://{a}/redirect'),
    'name': lambda a, p: page(f'http://{a}/'),
    'second lookup': second_lookup,
    'another namespace': other_namespace,
}

try:
    way, address, port = sys.argv[1:4]
    print('REACHED' if 'REACHED' in WAYS[way](address, int(port)) else 'answered otherwise')
except Exception as error:
    print(f'{type(error).__name__}: {error}')
