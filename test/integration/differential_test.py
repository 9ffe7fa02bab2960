#!/usr/bin/env python3
"""Random commands, well formed and broken, to memcached and to kai: the answers are equal.

KAI_TEST_COMMANDS says how many (default 2000), KAI_TEST_SEED which."""

import os
import random
import re
import shutil
import socket
import subprocess
import time
import unittest

from memcache import Client, set_command, wait_for_quorums
from processes import Node, Nodes, TestCase, main

COMMANDS = int(os.environ.get("KAI_TEST_COMMANDS", "2000"))
SEED = int(os.environ.get("KAI_TEST_SEED", "1"))
MEMCACHED = shutil.which("memcached")

# What may differ, and why. The pattern is replaced in both answers before they are compared.
PERMITTED = [
    (rb"(?m)^STAT .*\r\n", b"", "the figures of two servers"),
    (rb"(?m)^(VALUE \S+ \d+) \d+( .*)?\r\n(\d+) *\r\n", rb"\1\2\r\n\3\r\n",
     "a number that became shorter is padded, but in memcached not while a thread looks at the item"),
    (rb"(?s)^.*\(silent\)$", b"(silent)",
     "memcached keeps answers back while it waits for the end of a data block"),
    (rb"(?m)^ITEM .*\r\n", b"", "stats cachedump shows keys, out of slabs that kai does not have"),
]

KEYS = [b"a", b"b", b"key-3", b"n1", b"n2", b"x" * 250, b"\xc3\xa9", b"k\x01"]
NUMBERS = [b"0", b"1", b"7", b"99", b"18446744073709551615", b"18446744073709551616", b"-1", b"+3",
           b"4294967296", b"4294967295", b"abc", b"1x", b"", b"00012", b"2147483648", b"1e3"]
# Not 1 to some minutes: two servers do not expire things at the same instant.
EXPIRIES = [b"abc", b"", b"-9999", b"4294967295", b"18446744073709551616", b"2147483648", b"1e3"]
VERBS = [b"set", b"add", b"replace", b"append", b"prepend"]
ODD = [b"\r\n", b"\n", b"GET a\r\n", b"bogus\r\n", b"get\r\n", b"set\r\n", b"a b c\r\n",
       b"get a\0b\r\n", b"\t\r\n", b"gets  \r\n", b"mget a\r\n", b"cas a 0 0 1\r\n1\r\n",
       b"incr a\r\n", b"touch a\r\n", b"delete\r\n", b"stats bogus\r\n", b"stats cachedump 1 1\r\n",
       b"stats cachedump\r\n", b"stats detail dump\r\n", b"stats items\r\n", b"stats slabs\r\n",
       b"stats sizes\r\n", b"stats conns\r\n", b"stats reset\r\n", b"stats reset x\r\n",
       b"stats detail\r\n", b"stats detail on x\r\n", b"stats settings\r\n", b"stats\r\n"]


class Stream:
    """A seeded source of commands: pieces of bytes, each a command as it is sent."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def key(self):
        return self.random.choice(KEYS if self.random.random() < 0.97 else [b"y" * 251, b""])

    def number(self, usual):
        r = self.random
        return r.choice(NUMBERS) if r.random() < 0.08 else b"%d" % r.choice(usual)

    def exptime(self, *usual):
        r = self.random
        return r.choice(EXPIRIES) if r.random() < 0.08 else b"%d" % r.choice(usual)

    def spaced(self, *words, whole=False):
        """Joins with one space, rarely with more, or, unless `whole`, leaves a word out or puts one
        in."""
        r, words = self.random, list(words)
        if r.random() < 0.03 and not whole:
            del words[r.randrange(len(words))]
        if r.random() < 0.03 and not whole:
            words.insert(r.randrange(len(words) + 1), r.choice([b"0", b"noreply", b"z"]))
        text = b""
        for i, word in enumerate(words):
            text += (b" " * (r.randrange(1, 4) if r.random() < 0.05 else 1) if i else b"") + word
        if r.random() < 0.03:
            text = b" " * r.randrange(3) + text + b" " * r.randrange(3)
        return text + (b"\n" if r.random() < 0.03 else b"\r\n")

    def noreply(self):
        return [b"noreply"] if self.random.random() < 0.1 else []

    def value(self):
        r = self.random
        kind = r.random()
        if kind < 0.35:
            return b"%d" % r.choice([0, 1, 9, 10, 99, 12345, 2**64 - 1, 2**64 - 10])
        if kind < 0.4:
            return r.choice([b"18446744073709551616", b"-1", b"1 ", b"abc", b"12abc", b"",
                             b"get a\r\n", b"9" * 21])
        return bytes(r.randrange(33, 256) for _ in range(r.choice([0, 1, 5, 30, 200])))

    def store(self):
        r, value = self.random, self.value()
        length = len(value) if r.random() < 0.97 else max(0, len(value) + r.randrange(-2, 3))
        length = b"%d" % length
        if r.random() < 0.02:
            length = r.choice([b"-1", b"x", b"4294967297"])
        exptime = self.exptime(0, 0, 0, 0, 0, 1000, -1, 2592001)
        words = [r.choice(VERBS), self.key(), self.number([0, 1, 42]), exptime, length]
        if r.random() < 0.15:
            words[0] = b"cas"
            words.append(self.cas())
        # A long number or a cas unique must not become the length.
        whole = len(exptime) > 5 or words[0] == b"cas"
        end = b"\r\n" if r.random() < 0.98 else b"x\r\n"
        return self.spaced(*words, *self.noreply(), whole=whole) + value + end

    def cas(self):
        """@n@ stands for the n-th cas unique that the server gave."""
        r = self.random
        return b"@%d@" % r.randrange(1, 40) if r.random() < 0.7 else self.number([0, 1, 2**63])

    def keys(self):
        return [self.key() for _ in range(self.random.choice([1, 1, 1, 2, 5, 30]))]

    def command(self):
        r = self.random
        kind = r.random()
        if kind < 0.35:
            return self.store()
        if kind < 0.6:
            return self.spaced(r.choice([b"get", b"gets", b"gets"]), *self.keys())
        if kind < 0.66:
            # Before a key that is too long memcached touches: kai refuses the whole line.
            keys = [key for key in self.keys() if len(key) <= 250]
            return self.spaced(r.choice([b"gat", b"gats"]), self.exptime(0, 0, 1000, -1), *keys)
        if kind < 0.8:
            delta = self.number([0, 1, 5, 1000, 2**64 - 1])
            return self.spaced(r.choice([b"incr", b"decr"]), self.key(), delta, *self.noreply())
        if kind < 0.86:
            return self.spaced(b"delete", self.key(), *r.choice([[], [], [b"0"], [b"5"]]),
                               *self.noreply())
        if kind < 0.92:
            return self.spaced(b"touch", self.key(), self.exptime(0, 1000, -1), *self.noreply())
        if kind < 0.95:
            return self.spaced(*r.choice([[b"version"], [b"verbosity", b"1"], [b"verbosity"],
                                          [b"flush_all"], [b"flush_all", b"0"],
                                          [b"flush_all", b"x"], [b"flush_all", b"-1"],
                                          [b"flush_all", b"noreply"]]))
        return r.choice(ODD)


class Server:
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
            return match[1] + b"@" + self.by_number[number] + b"@\r\n"
        return re.sub(rb"(?m)^(VALUE \S+ \d+ \d+ )(\d+)\r\n", name, answer)

    def exchange(self, data, splits, number):
        """The answer to some commands, and whether the connection was closed after them."""
        data = re.sub(rb"@(\d+)@", lambda m: self.by_name.get(m[1], b"123"), data)
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


def comparable(answer):
    for pattern, replacement, _ in PERMITTED:
        answer = re.sub(pattern, replacement, answer)
    return answer


def report(number, data, expected, received):
    """What was sent, and the answers from where they part."""
    same = len(os.path.commonprefix([expected, received]))
    same = expected.rfind(b"\n", 0, max(0, same - 1)) + 1
    print(f"  seed {SEED}, exchange {number}, sent {data}\n"
          f"    after {same} equal bytes expected {expected[same:same + 200]}\n"
          f"    received {received[same:same + 200]}", flush=True)


@unittest.skipUnless(MEMCACHED, "memcached is not installed")
class Differential(TestCase):
    def setUp(self):
        super().setUp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        root = ["-u", "root"] if os.geteuid() == 0 else []
        self.memcached = subprocess.Popen(
            [MEMCACHED, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", *root],
            stdin=subprocess.DEVNULL)
        self.addCleanup(self.end_memcached)
        while True:
            try:
                Client(self.port).__exit__()
                return
            except ConnectionRefusedError:
                self.assertIsNone(self.memcached.poll())
                time.sleep(0.02)

    def end_memcached(self):
        self.memcached.kill()
        self.memcached.wait()

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
                arithmetic = command.lstrip()[:4] in (b"incr", b"decr")
                if together and (long_key or arithmetic and reads):
                    yield together, splits
                    together, reads = b"", False
                reads |= command.lstrip()[:2] in (b"ge", b"ga") or long_key
                if long_key:
                    yield command, []
                else:
                    together += command
            if together:
                yield together, splits

    def check_against(self, ports):
        """Each exchange goes through another node."""
        reference = Server(self.port)
        nodes = [Server(port) for port in ports]
        for node in nodes:
            node.by_number, node.by_name = nodes[0].by_number, nodes[0].by_name
        differences = 0
        for number, (data, splits) in enumerate(self.exchanges()):
            expected = reference.exchange(data, splits, number)
            received = nodes[number % len(nodes)].exchange(data, splits, number)
            if expected != received:
                # What was permitted now must not make a difference later.
                for server in (reference, *nodes):
                    server.client.ask(b"flush_all\r\n")
            if comparable(expected) != comparable(received):
                differences += 1
                report(number, data, comparable(expected), comparable(received))
                self.assertLess(differences, 3)
        self.assertEqual(differences, 0)

    def test_one_node_answers_as_memcached(self):
        with Node("unused", "--storage.engine=memory") as node:
            self.check_against([node.memcache])
            self.assertEqual(node.stop()[0], 0)

    def test_five_nodes_answer_as_memcached(self):
        with Nodes(self.directory, 5) as nodes:
            wait_for_quorums(nodes.ports())
            self.check_against(nodes.ports())


if __name__ == "__main__":
    main()
