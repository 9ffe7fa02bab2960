"""A small memcache client for the integration tests: blocking, with many requests per write."""

import re
import socket
import time

VALUE = re.compile(rb"VALUE (\S+) (\d+) (\d+)(?: (\d+))?\r\n")


class Client:
    def __init__(self, port, patience=10, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.received += piece

    def exactly(self, count):
        pieces, have = [self.received], len(self.received)
        while have < count:
            piece = self.socket.recv(1 << 18)
            if not piece:
                raise ConnectionError(f"closed {count - have} bytes early")
            pieces.append(piece)
            have += len(piece)
        whole = b"".join(pieces)
        self.received = whole[count:]
        return whole[:count]

    def line(self):
        while b"\n" not in self.received:
            self.more()
        line, _, self.received = self.received.partition(b"\n")
        return line + b"\n"

    def rest(self):
        """Everything until the server closes the connection."""
        pieces = [self.received]
        self.received = b""
        while piece := self.socket.recv(1 << 18):
            pieces.append(piece)
        return b"".join(pieces)

    def ask(self, data):
        """Sends a command whose answer is one line."""
        self.send(data)
        return self.line()

    def values(self):
        """Reads the answer of a get: key -> value; what does not belong there raises."""
        found = {}
        while (line := self.line()) != b"END\r\n":
            match = VALUE.fullmatch(line)
            if not match:
                raise AssertionError(f"in the answer to a get: {line!r}")
            found[match[1]] = self.exactly(int(match[3]) + 2)[:-2]
        return found

    def get(self, *keys):
        self.send(b"get " + b" ".join(keys) + b"\r\n")
        return self.values()

    def stats(self, argument=b""):
        self.send(b"stats " + argument + b"\r\n")
        found = {}
        while (line := self.line()) != b"END\r\n":
            _, name, value = line.split(None, 2)
            found[name.decode()] = value.strip().decode()
        return found


def set_command(key, value):
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)


def pieces_of(xs, size):
    return [xs[i:i + size] for i in range(0, len(xs), size)]


def store_all(ports, keys, value_of, at_once=200):
    """Stores all keys, spread over all ports, `at_once` per write; what is not STORED raises."""
    clients = [Client(port) for port in ports]
    batches = pieces_of(keys, at_once)
    for i in range(0, len(batches), len(clients)):
        under_way = list(zip(clients, batches[i:i + len(clients)]))
        for client, batch in under_way:
            client.send(b"".join(set_command(key, value_of(key)) for key in batch))
        for client, batch in under_way:
            for key in batch:
                if (line := client.line()) != b"STORED\r\n":
                    raise AssertionError(f"{key!r} was answered {line!r}")
    for client in clients:
        client.__exit__()


def check_all(ports, keys, value_of, at_once=100):
    """Reads all keys, spread over all ports; one that is missing or different raises."""
    clients = [Client(port) for port in ports]
    batches = pieces_of(keys, at_once)
    for i in range(0, len(batches), len(clients)):
        under_way = list(zip(clients, batches[i:i + len(clients)]))
        for client, batch in under_way:
            client.send(b"get " + b" ".join(batch) + b"\r\n")
        for client, batch in under_way:
            found = client.values()
            for key in batch:
                if found.get(key) != value_of(key):
                    raise AssertionError(f"{key!r} is {found.get(key)!r:.80}")
    for client in clients:
        client.__exit__()


def wait_for_quorums(ports, seconds=30, keys=500):
    """Waits until every node can answer for (about) every partition: started nodes serve clients
    before they have found each other, and say SERVER_ERROR."""
    end = time.monotonic() + seconds
    for port in ports:
        with Client(port) as client:
            for i in range(keys):
                while (line := client.ask(b"get probe-%d\r\n" % i)) != b"END\r\n":
                    if time.monotonic() > end:
                        raise AssertionError(f"after {seconds} s still {line!r}")
                    time.sleep(0.02)
