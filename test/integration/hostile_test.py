#!/usr/bin/env python3
"""Hundreds of clients that send garbage, half commands and huge lengths, or never read, beside an
honest one: it keeps right answers in good time, and the node neither grows nor keeps descriptors.

KAI_TEST_HOSTILE_CLIENTS and KAI_TEST_HOSTILE_SECONDS say how many (default 200) and how long (5);
KAI_TEST_HOSTILE_COMPARE=1 attacks memcached as well."""

import multiprocessing
import os
import random
import socket
import struct
import time

from memcache import Client, set_command
from processes import Memcached, Node, TestCase, main, raise_descriptor_limit

CLIENTS = int(os.environ.get("KAI_TEST_HOSTILE_CLIENTS", "200"))
COMPARE = os.environ.get("KAI_TEST_HOSTILE_COMPARE") == "1"
SECONDS = float(os.environ.get("KAI_TEST_HOSTILE_SECONDS", "5"))
SEED = int(os.environ.get("KAI_TEST_SEED", "1"))
MB = 1 << 20
# 256 MB of unread answers of all clients together, and copies of it as buffers grow; then each may
# have what was under way when it stopped reading.
GROWTH_MAX = 640 * MB + CLIENTS * MB // 4


def packet(opcode, extras=b"", key=b"", value=b"", body=None):
    body = len(extras) + len(key) + len(value) if body is None else body
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, body, 1, 0) \
        + extras + key + value


def attack(r):
    """What one hostile client sends at once."""
    kind = r.randrange(10)
    if kind == 0:
        return bytes(r.randrange(256) for _ in range(r.randrange(1, 300)))
    if kind == 1:
        return b"set " + b"k" * r.randrange(1, 300) + b" 0 0 " + b"%d" % r.choice([100, 2**31, -1])
    if kind == 2:
        # Announces a value and sends some of it.
        return b"set half 0 0 1000000\r\n" + b"x" * r.randrange(5000)
    if kind == 3:
        return b"get " + b"big " * 2000
    if kind == 4:
        return b"set big 0 0 20000\r\n" + b"v" * 20000 + b"\r\n" + b"get big\r\n" * 50
    if kind == 5:
        return packet(1, bytes(8), b"k", body=r.choice([9, 2**20, 2**32 - 1])) + b"x" * 500
    if kind == 6:
        return packet(r.randrange(256), bytes(r.randrange(30)), b"k" * r.randrange(300))
    if kind == 7:
        return b"\r\n" * 500 + b"mg a " + b"v " * 30 + b"\r\n" + b"ms a x\r\n"
    if kind == 8:
        return b"ms a 2147483645\r\n" + b"x" * 3000
    return b"".join(b"incr n%d 1\r\n" % r.randrange(10) for _ in range(200))


class Hostile(multiprocessing.Process):
    """Connects, sends, reads seldom, and leaves without a word, again and again. A process of its
    own, so that it does not stall the honest client."""

    def __init__(self, port):
        super().__init__()
        self.port, self.over = port, multiprocessing.Event()
        self.connected = multiprocessing.Value("i", 0)

    def run(self):
        r = random.Random(SEED)
        clients = []
        while not self.over.is_set():
            while len(clients) < CLIENTS:
                try:
                    client = socket.create_connection(("127.0.0.1", self.port), 2)
                except OSError:
                    break
                self.connected.value += 1
                client.setblocking(False)
                clients.append(client)
            for client in r.sample(clients, min(len(clients), 20)):
                try:
                    client.send(attack(r))
                    if r.random() < 0.3:
                        client.recv(1 << 16)
                    gone = r.random() < 0.1
                except BlockingIOError:
                    gone = r.random() < 0.1
                except OSError:
                    gone = True
                if gone:
                    clients.remove(client)
                    client.close()
            time.sleep(0.01)
        for client in clients:
            client.close()


def memory(node):
    with open(f"/proc/{node.child.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def descriptors(node):
    return len(os.listdir(f"/proc/{node.child.pid}/fd"))


def p99(took):
    """In ms, of sorted seconds."""
    return took[len(took) * 99 // 100] * 1000


class HostileHour(TestCase):
    def setUp(self):
        super().setUp()
        raise_descriptor_limit(4 * CLIENTS)

    def serve_honest(self, client, seconds):
        """Asks and checks; how long each answer took."""
        took, end, i = [], time.monotonic() + seconds, 0
        while time.monotonic() < end:
            i += 1
            key, value = b"honest-%d" % (i % 100), b"%d" % i * 100
            began = time.monotonic()
            self.assertEqual(client.ask(set_command(key, value)), b"STORED\r\n")
            self.assertEqual(client.get(key), {key: value})
            took.append(time.monotonic() - began)
        return sorted(took)

    def serve_beside_hostile(self, client, attacked):
        """How long the honest client's answers took, and how many hostile ones there were."""
        hostile = Hostile(attacked.memcache)
        hostile.start()
        try:
            return self.serve_honest(client, SECONDS), hostile.connected.value
        finally:
            hostile.over.set()
            hostile.join()

    def compare(self, client):
        """What the attack does to memcached, and what it costs the machine that all share."""
        with Memcached("-c", str(CLIENTS + 10)) as memcached, Client(memcached.memcache) as theirs:
            attacked, _ = self.serve_beside_hostile(theirs, memcached)
            elsewhere, _ = self.serve_beside_hostile(client, memcached)
        print(f"  memcached's client p99 {p99(attacked):.2f} ms, kai's while memcached is attacked "
              f"{p99(elsewhere):.2f} ms", flush=True)

    def test_an_honest_client_is_served_beside_hostile_ones(self):
        with Node("unused", "--storage.engine=memory",
                  f"--memcache.max-connections={CLIENTS + 10}") as node:
            with Client(node.memcache) as client:
                alone = self.serve_honest(client, 1)
                if COMPARE:
                    self.compare(client)
                memory_before, open_before = memory(node), descriptors(node)
                took, connected = self.serve_beside_hostile(client, node)
                grown = memory(node) - memory_before
                print(f"  {connected} hostile connections, {len(took)} honest rounds, p99 "
                      f"{p99(took):.2f} ms (alone {p99(alone):.2f} ms), grew by {grown / MB:.1f} MB",
                      flush=True)
                self.assertGreater(connected, CLIENTS)
                self.assertLess(p99(took), 1000)
                self.assertLess(grown, GROWTH_MAX)
                # Whoever left is forgotten.
                end = time.monotonic() + 40
                while descriptors(node) > open_before:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.1)
                stats = client.stats()
                self.assertEqual(stats["curr_connections"], "1")
            self.assertEqual(node.stop()[0], 0, node.errors())


if __name__ == "__main__":
    main()
