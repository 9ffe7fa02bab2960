#!/usr/bin/env python3
"""Random commands in text, meta and binary, well formed and broken, to memcached and to kai: the
answers are equal.

KAI_TEST_COMMANDS says how many (default 2000), KAI_TEST_SEED which."""

import os
import random
import re
import socket
import struct
import time
import unittest

from memcache import Client, set_command, wait_for_quorums
from processes import MEMCACHED, Memcached, Node, Nodes, TestCase, main
from streams import KEYS, BinaryStream, Stream

COMMANDS = int(os.environ.get("KAI_TEST_COMMANDS", "2000"))
SEED = int(os.environ.get("KAI_TEST_SEED", "1"))

# A cas unique that no server gives.
UNKNOWN = b"18446744073709551614"

# What may differ, and why. The pattern is replaced in both answers before they are compared.
PERMITTED = [
    (rb"(?m)^STAT .*\r\n", b"", "the figures of two servers"),
    (rb"(?m)^(VALUE \S+ \d+) \d+( .*)?\r\n(\d+) *\r\n", rb"\1\2\r\n\3\r\n",
     "a number that became shorter is padded, but in memcached not while a thread looks at the item"),
    (rb", b'(\d+) +', ", rb", b'\1', ", "the same in binary, whose answers are compared as text"),
    (rb"(?s)^.*\(silent\)$", b"(silent)",
     "memcached keeps answers back while it waits for the end of a data block"),
    (rb" t(\d+)", lambda match: seconds(match), "two servers' seconds"),
    (rb"(?m)^(HD|VA)( .*)? h[01]", rb"\1\2 h#", "whether a value was fetched: of the node asked"),
    (rb"(?m)^(HD|VA)( .*)? l\d+", rb"\1\2 l#", "when: of the node asked, and two servers' seconds"),
    (rb"(?m)^ME (\S+) .*\r\n", rb"ME \1\r\n", "what two servers hold of an item internally"),
    (rb" k\0", b" kAA== b", "the key of a new placeholder: raw in memcached, also where it breaks the line"),
    (rb"(?m)^ITEM .*\r\n", b"", "stats cachedump shows keys, out of slabs that kai does not have"),
]

class TextServer:
    """One connection, and the names of the cas uniques it gave in the order of their appearance."""

    def __init__(self, port):
        self.port, self.client = port, Client(port, 3)
        self.by_number, self.by_name = {}, {}

    def named(self, answer):
        def name(match):
            number = match[2]
            if number not in self.by_number:
                self.by_number[number] = b"%d" % (len(self.by_number) + 1)
                self.by_name[self.by_number[number]] = number
            return match[1] + b"@" + self.by_number[number] + b"@" + b"".join(match.groups()[2:])
        answer = re.sub(rb"(?m)^(VALUE \S+ \d+ \d+ )(\d+)(\r\n)", name, answer)
        return re.sub(rb"(?m)^((?:HD|VA \d+)(?: [^c\r]\S*)* c)(\d+)", name, answer)

    def exchange(self, data, splits, number):
        """The answer to some commands, and whether the connection was closed after them."""
        data = re.sub(rb"@(\d+)@", lambda m: self.by_name.get(m[1], UNKNOWN), data)
        # Ends the answer, also where `data` ends within a data block.
        mark = b"%08d" % number
        last = b"\r\n" + set_command(b"mark", mark) + b"get mark\r\n"
        answer = b""
        try:
            previous = 0
            for at in sorted(int(x * len(data)) for x in splits):
                self.client.send(data[previous:at])
                time.sleep(0.0005)
                previous = at
            self.client.send(data[previous:] + last)
            while not answer.endswith(mark + b"\r\nEND\r\n"):
                if not (piece := self.client.socket.recv(1 << 18)):
                    raise ConnectionError
                answer += piece
        except ConnectionError:
            self.client.__exit__()
            self.client = Client(self.port, 3)
            return self.named(answer) + b"(closed)"
        except TimeoutError:
            # It awaits more of a data block.
            self.client.__exit__()
            self.client = Client(self.port, 3)
            return self.named(answer) + b"(silent)"
        return self.named(answer)


class BinaryServer:
    """The same for the binary protocol: answers as tuples."""

    def __init__(self, port):
        self.port, self.client = port, Client(port, 3)
        self.by_number, self.by_name = {}, {}

    def named(self, cas):
        if cas == 0:
            return 0
        if cas not in self.by_number:
            self.by_number[cas] = len(self.by_number) + 1
            self.by_name[self.by_number[cas]] = cas
        return self.by_number[cas]

    def exchange(self, commands, splits, number):
        data = b""
        for i, (*parts, cas) in enumerate(commands):
            cas = cas if cas >= 0 else self.by_name.get(-cas, int(UNKNOWN))
            data += BinaryStream.packet(*parts, cas, i)
        data += BinaryStream.packet(0x0a, b"", b"", b"", 0, 1 << 31)
        answers = []
        try:
            previous = 0
            for at in [*sorted(int(x * len(data)) for x in splits), len(data)]:
                self.client.send(data[previous:at])
                time.sleep(0.0005 if splits else 0)
                previous = at
            while not answers or answers[-1][2] != 1 << 31:
                header = self.client.exactly(24)
                _, opcode, key, extras, _, status, body, opaque, cas = struct.unpack(
                    ">BBHBBHIIQ", header)
                rest = self.client.exactly(body)
                value = rest[extras + key:]
                answers.append((opcode, status, opaque, rest[:extras], rest[extras:extras + key],
                                value, self.named(cas)))
        except ConnectionError:
            self.client.__exit__()
            self.client = Client(self.port, 3)
            answers.append("closed")
        return repr(answers).encode()


def seconds(match):
    """Two servers' seconds do not begin at the same instant."""
    return b" t%d00" % round(int(match[1]) / 100)


def comparable(answer):
    for pattern, replacement, _ in PERMITTED:
        answer = re.sub(pattern, replacement, answer)
    return answer


def report(number, data, expected, received):
    """What was sent, and the answers from where they part."""
    same = len(os.path.commonprefix([expected, received]))
    same = max(expected.rfind(b"\n", 0, max(0, same - 1)) + 1, same - 100)
    print(f"  seed {SEED}, exchange {number}, sent {data}\n"
          f"    after {same} equal bytes expected {expected[same:same + 200]}\n"
          f"    received {received[same:same + 200]}", flush=True)


@unittest.skipUnless(MEMCACHED, "memcached is not installed")
class Differential(TestCase):
    def has_large_counter(self):
        """Whether memcached holds a number from 2^63 on: there it depends on what is behind it in
        memcached's memory whether it counts as one, a minus sign makes it none. Joined values get
        there."""
        with Client(self.port) as client:
            found = client.get(*KEYS).values()
        numbers = (int(x) for x in found if re.fullmatch(rb"\d+ *", x))
        return any(2**63 <= x < 2**64 for x in numbers)

    def setUp(self):
        super().setUp()
        memcached = Memcached()
        self.addCleanup(memcached.__exit__)
        self.port = memcached.memcache

    def exchanges(self):
        """Pipelines of commands and where they are cut. Two things that depend on what memcached
        has not sent yet get a pipeline of their own: a key that is too long (its error makes memcached
        forget the answers before it), and arithmetic after a get (a value that becomes shorter is
        padded only where no answer refers to the item)."""
        stream, left = Stream(SEED), COMMANDS
        while left > 0:
            commands = [stream.command() for _ in range(stream.random.choice([1, 1, 1, 2, 5, 40]))]
            left -= len(commands)
            cuts = stream.random.choice([0, 0, 0, 1, 3])
            splits = [stream.random.random() for _ in range(cuts)]
            together, reads = b"", False
            for command in commands:
                long_key = b"y" * 251 in command
                verb = command.lstrip()[:2]
                arithmetic = verb in (b"in", b"de", b"ma")
                if together and (long_key or arithmetic and reads):
                    yield together, splits
                    together, reads = b"", False
                reads |= verb in (b"ge", b"ga", b"mg") or long_key
                if long_key:
                    yield command, []
                else:
                    together += command
            if together:
                yield together, splits

    @staticmethod
    def packets():
        """As `exchanges`, arithmetic after a get included. After a packet that closes the connection
        memcached forgets the others."""
        stream, left = BinaryStream(SEED), COMMANDS
        while left > 0:
            commands = [stream.command() for _ in range(stream.random.choice([1, 1, 1, 2, 5]))]
            left -= len(commands)
            # A server that closes with bytes unread takes its answers along.
            whole = any(stream.closes(*x) for x in commands)
            cuts = 0 if whole else stream.random.choice([0, 0, 0, 1, 3])
            splits = [stream.random.random() for _ in range(cuts)]
            together, reads = [], False
            for command in commands:
                if reads and command[0] in stream.COUNT:
                    yield together, splits
                    together, reads = [], False
                together.append(command)
                reads |= command[0] in stream.READ | stream.TOUCH
            yield together, splits

    def check_against(self, ports):
        """Each exchange goes through another node."""
        for kind, exchanges in ((TextServer, self.exchanges()), (BinaryServer, self.packets())):
            with self.subTest(kind=kind.__name__):
                self.check_kind(kind, exchanges, ports)

    def check_kind(self, kind, exchanges, ports):
        reference = kind(self.port)
        nodes = [kind(port) for port in ports]
        for server in (reference, *nodes):
            self.addCleanup(server.client.__exit__)
        for node in nodes:
            node.by_number, node.by_name = nodes[0].by_number, nodes[0].by_name
        differences = 0
        for number, (data, splits) in enumerate(exchanges):
            expected = reference.exchange(data, splits, number)
            received = nodes[number % len(nodes)].exchange(data, splits, number)
            if expected == received:
                continue
            permitted = self.has_large_counter()
            # What was permitted now must not make a difference later.
            for port in (self.port, ports[0]):
                with Client(port) as client:
                    client.ask(b"flush_all\r\n")
            if comparable(expected) != comparable(received) and not permitted:
                differences += 1
                report(number, data, comparable(expected), comparable(received))
                self.assertLess(differences, 3)
        self.assertEqual(differences, 0)

    def test_one_node_answers_as_memcached(self):
        with Node("unused", "--storage.engine=memory") as node:
            self.check_against([node.memcache])
            self.assertEqual(node.stop()[0], 0)

    def test_who_made_a_placeholder_has_seen_it(self):
        with Node("unused", "--storage.engine=memory") as node:
            for port in (self.port, node.memcache):
                with Client(port) as client:
                    client.ask(b"flush_all\r\n")
                    self.assertEqual(client.ask(b"mg made N3000 h l\r\n"), b"HD h0 l0 W\r\n", port)
                    self.assertEqual(client.ask(b"mg made h\r\n"), b"HD h1 Z\r\n", port)

    def test_a_flush_at_a_time_takes_place_then(self):
        def in_text(client, when):
            self.assertEqual(client.ask(b"flush_all %d\r\n" % when), b"OK\r\n")

        def in_binary(_, when):
            with Client(node.memcache) as other:
                other.send(struct.pack(">BBHBBHIIQI", 0x80, 8, 0, 4, 0, 0, 4, 0, 0, when))
                self.assertEqual(other.exactly(24)[:8], b"\x81\x08" + bytes(6))

        with Node("unused", "--storage.engine=memory") as node, Client(node.memcache) as client:
            for flush in (in_text, in_binary):
                client.ask(set_command(b"a", b"1"))
                flush(client, int(time.time()) + 1000)
                self.assertEqual(client.get(b"a"), {b"a": b"1"})
                for past in (0, 1, 100_000):
                    flush(client, int(time.time()) - past)
                    self.assertEqual(client.get(b"a"), {}, past)
                    client.ask(set_command(b"a", b"1"))
                flush(client, int(time.time()) + 3)
                end = time.monotonic() + 30
                while client.get(b"a"):
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)

    def test_five_nodes_answer_as_memcached(self):
        with Nodes(self.directory, 5) as nodes:
            wait_for_quorums(nodes.ports())
            self.check_against(nodes.ports())


if __name__ == "__main__":
    main()
