"""Tries to reach places, all at the same time, and prints as JSON how each attempt ended.

The argument is a JSON list of places, each an address, a name or a URL. `twice:NAME` looks a name up and connects,
two times over; `as:NAME:ADDRESS` begins TLS with an address under a name that is another's.
"""
import concurrent.futures
import json
import socket
import ssl
import sys
import urllib.request

SECONDS = 12


def connect(address):
    connection = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)
    connection.settimeout(SECONDS)
    connection.connect((address, 80))
    return connection


def fetch(address, name):
    with connect(address) as connection:
        # Where rules name domains, msb passes on no request that does not say whose it is.
        connection.sendall(f'GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n'.encode())
        words = b''
        while part := connection.recv(4096):
            words += part
    return 'REACHED' if b'REACHED' in words else f'answered {words!r}'


def twice(name):
    return ' '.join(outcome(lambda: found(socket.gethostbyname(name), name)) for _ in range(2))


def found(address, name):
    return f'{address} {fetch(address, name)}'


def begin_tls(name, address):
    context = ssl.create_default_context()
    try:
        context.wrap_socket(connect(address), server_hostname=name)
    except ssl.SSLError as error:
        # The server speaks HTTP only: such an answer is its own.
        if error.reason in ('WRONG_VERSION_NUMBER', 'RECORD_LAYER_FAILURE', 'PACKET_LENGTH_TOO_LONG'):
            return 'REACHED'
        raise
    return 'REACHED'


def attempt(place):
    kind, _, rest = place.partition(':')
    if kind == 'twice':
        return twice(rest)
    if kind == 'as':
        return begin_tls(*rest.split(':'))
    if kind == 'http':
        return urllib.request.urlopen(place, timeout=SECONDS).read().decode()
    return fetch(place, f'[{place}]') if ':' in place else fetch(socket.gethostbyname(place), place)


def outcome(work):
    try:
        return work()
    except Exception as error:
        return f'{type(error).__name__}: {error}'


places = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    outcomes = pool.map(lambda place: outcome(lambda: attempt(place)), places)
    print(json.dumps(dict(zip(places, outcomes))))
