"""Tries, as root in a machine, to change its rules or its agent. Prints the attempts that worked."""
import ctypes, os, socket, struct, subprocess

libc = ctypes.CDLL(None, use_errno=True)
AF_NETLINK, NETLINK_ROUTE, NETLINK_NETFILTER = 16, 0, 12
REQUEST_ACK, CREATE = 5, 0x400
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS = 0x10000000, 0x40000000, 0x20000


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'refused')
    return result


def netlink(protocol, messages):
    with socket.socket(AF_NETLINK, socket.SOCK_RAW, protocol) as kernel:
        kernel.settimeout(2)
        kernel.send(b''.join(messages))
        error = struct.unpack('i', kernel.recv(4096)[16:20])[0]
        if error:
            raise OSError(-error, 'refused')


def message(kind, flags, body):
    return struct.pack('IHHII', 16 + len(body), kind, flags, 1, 0) + body


def attribute(kind, value):
    return struct.pack('HH', 4 + len(value), kind) + value + b'\0' * (-len(value) % 4)


def delete_table():
    family = struct.pack('BBH', 2, 0, 0)
    batch = struct.pack('>BBH', 0, 0, 10)
    netlink(NETLINK_NETFILTER, [
        message(16, 1, batch), message(10 << 8 | 2, REQUEST_ACK, family + attribute(1, b'sandpit\0')), message(17, 1, batch)])


def add_rule():
    netlink(NETLINK_ROUTE, [message(32, REQUEST_ACK | CREATE, struct.pack('BBBBBBBBI', 2, 0, 0, 0, 254, 0, 0, 1, 0))])


def add_route():
    body = struct.pack('BBBBBBBBI', 2, 32, 0, 0, 254, 4, 253, 1, 0)
    index = socket.if_nametoindex('eth0')
    netlink(NETLINK_ROUTE, [
        message(24, REQUEST_ACK | CREATE, body + attribute(1, bytes([10, 99, 0, 5])) + attribute(4, struct.pack('I', index)))])


def connect(path):
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(path)


def enter_namespace(kind):
    checked(libc.unshare(kind))
    delete_table()


def relay():
    done = subprocess.run(['/opt/sandpit/agent', 'relay'], stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    if not done.stdout:
        raise OSError(done.stderr.decode())


def raise_capabilities():
    # capset(2) with every capability of the first 32.
    header, data = struct.pack('II', 0x20080522, 0), struct.pack('IIIIII', *[0xffffffff] * 3, 0, 0, 0)
    checked(libc.capset(header, data))


ATTEMPTS = {
    'delete the table': delete_table,
    'add a routing rule': add_rule,
    'add a route': add_route,
    'open a packet socket': lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    'open a raw socket': lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255),
    'attach to the agent': lambda: checked(libc.ptrace(PTRACE_ATTACH, 1, 0, 0)),
    'seize the agent': lambda: checked(libc.ptrace(PTRACE_SEIZE, 1, 0, 0)),
    'read its memory': lambda: open('/proc/1/mem', 'rb'),
    'read its environment': lambda: open('/proc/1/environ', 'rb').read(),
    'look at its descriptor': lambda: os.readlink('/proc/1/fd/255'),
    'open its descriptor': lambda: os.open('/proc/1/fd/255', os.O_PATH),
    'connect to its socket': lambda: connect('/proc/1/fd/255'),
    'connect to its old name': lambda: connect('/run/sandpit/agent.sock'),
    'take its descriptor': lambda: checked(libc.syscall(438, checked(libc.syscall(434, 1, 0)), 255, 0)),
    'be its relay': relay,
    'raise capabilities': raise_capabilities,
    'make a network namespace': lambda: enter_namespace(CLONE_NEWNET),
    'make a user namespace': lambda: enter_namespace(CLONE_NEWUSER),
    'enter its namespace': lambda: checked(libc.setns(os.open('/proc/1/ns/net', os.O_RDONLY), 0)),
    'turn on forwarding': lambda: open('/proc/sys/net/ipv4/ip_forward', 'w').write('1'),
    'change a kernel setting': lambda: open('/proc/sys/net/ipv4/conf/all/route_localnet', 'w').write('1'),
}

for name, attempt in ATTEMPTS.items():
    child = os.fork()
    if child == 0:
        try:
            attempt()
        except (OSError, subprocess.SubprocessError):
            os._exit(0)
        os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        print(name)
os.kill(1, 9)
os.kill(1, 19)
