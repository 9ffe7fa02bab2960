#!/usr/bin/env python3
"""memcache.auth-file: a client authenticates before anything else, in text as in memcached -Y, or by
SASL in the binary protocol."""

import signal
import struct
import time
import unittest

from memcache import Client, set_command
from processes import MEMCACHED, Memcached, Node, TestCase, main

UNAUTHENTICATED = b"CLIENT_ERROR unauthenticated\r\n"


class Auth(TestCase):
    def setUp(self):
        super().setUp()
        self.file = self.directory / "users"
        self.file.write_text("alice:wonder land\nbob:b:uilder\n")

    def node(self, *arguments):
        return Node("unused", "--storage.engine=memory", f"--memcache.auth-file={self.file}",
                    *arguments)

    def log_in(self, port, credentials):
        client = Client(port, 10)
        self.addCleanup(client.__exit__)
        return client, client.ask(set_command(b"any", credentials))

    def test_only_who_knows_the_password_gets_in(self):
        with self.node() as node:
            for credentials in (b"alice wonder land", b"bob b:uilder"):
                client, answer = self.log_in(node.memcache, credentials)
                self.assertEqual(answer, b"STORED\r\n")
                self.assertEqual(client.ask(set_command(b"k", b"v")), b"STORED\r\n")
                self.assertEqual(client.get(b"k", b"any"), {b"k": b"v"})
            for credentials in (b"alice", b"alice wonder", b"alice b:uilder", b"", b"bob b",
                                b"alice wonder land ", b"mallory x"):
                client, answer = self.log_in(node.memcache, credentials)
                self.assertEqual(answer, b"CLIENT_ERROR authentication failure\r\n"
                                 if b" " in credentials else
                                 b"CLIENT_ERROR bad authentication token format\r\n")
                self.assertEqual(client.ask(b"version\r\n"), UNAUTHENTICATED)
            stats = self.log_in(node.memcache, b"bob b:uilder")[0].stats()
            self.assertEqual((stats["auth_cmds"], stats["auth_errors"]), ("10", "7"))

    @staticmethod
    def ask_binary(client, opcode, key=b"", value=b"", extras=b""):
        """The status and the body of the answer."""
        client.send(struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0,
                                len(extras) + len(key) + len(value), 7, 0) + extras + key + value)
        header = struct.unpack(">BBHBBHIIQ", client.exactly(24))
        answered = (header[0], header[1], header[7])
        if answered != (0x81, opcode, 7):
            raise AssertionError(f"no answer to {opcode}: {answered}")
        return header[5], client.exactly(header[6])

    def test_sasl_plain_lets_in_who_knows_the_password(self):
        mechanisms, start, step, version, set_, get = 0x20, 0x21, 0x22, 0x0b, 0x01, 0x00
        with self.node() as node:
            for message in (b"\0bob\0b:uilder", b"bob\0bob@realm\0b:uilder",
                            b"\0alice\0wonder land"):
                with Client(node.memcache) as client:
                    self.assertEqual(self.ask_binary(client, mechanisms), (0, b"PLAIN"))
                    self.assertEqual(self.ask_binary(client, version), (0, b"1.6.18"))
                    self.assertEqual(self.ask_binary(client, start, b"PLAIN", message),
                                     (0, b"Authenticated"))
                    self.assertEqual(self.ask_binary(client, set_, b"k", b"v", bytes(8))[0], 0)
            with Client(node.memcache) as client:
                self.assertEqual(self.ask_binary(client, start, b"PLAIN"), (0x21, b""))
                self.assertEqual(self.ask_binary(client, step, b"PLAIN", b"\0bob\0b:uilder")[0], 0)
                self.assertEqual(self.ask_binary(client, get, b"k"), (0, bytes(4) + b"v"))
            refused = (0x20, b"Auth failure.")
            with Client(node.memcache) as client:
                for key, message in ((b"PLAIN", b"\0bob\0wrong"), (b"PLAIN", b"bob b:uilder"),
                                     (b"CRAM-MD5", b"\0bob\0b:uilder")):
                    self.assertEqual(self.ask_binary(client, start, key, message), refused)
                self.assertEqual(self.ask_binary(client, step, b"PLAIN", b"\0bob\0b:uilder"),
                                 refused)
                # Anything else ends the connection.
                self.assertEqual(self.ask_binary(client, get, b"k"), refused)
                self.assertEqual(client.rest(), b"")
            with Client(node.memcache) as client:
                # A value is not awaited.
                client.send(struct.pack(">BBHBBHIIQ", 0x80, set_, 1, 8, 0, 0, 9 + 500_000, 7, 0) +
                            bytes(8) + b"k")
                header = struct.unpack(">BBHBBHIIQ", client.exactly(24))
                self.assertEqual((header[5], client.rest()), refused)
            stats = self.log_in(node.memcache, b"bob b:uilder")[0].stats()
            self.assertEqual((stats["auth_cmds"], stats["auth_errors"]), ("9", "4"))

    def test_without_users_there_is_no_sasl(self):
        with Node("unused", "--storage.engine=memory") as node, Client(node.memcache) as client:
            self.assertEqual(self.ask_binary(client, 0x20), (0x81, b"Unknown command"))
            self.assertEqual(self.ask_binary(client, 0x21, b"PLAIN", b"\0bob\0b:uilder"),
                             (0x81, b"Unknown command"))
            self.assertEqual(self.ask_binary(client, 0x0b), (0, b"1.6.18"))

    def test_sighup_reads_the_file_again_and_a_bad_one_changes_nothing(self):
        def answer():
            return self.log_in(node.memcache, b"carol new")[1]

        with self.node() as node:
            old, _ = self.log_in(node.memcache, b"bob b:uilder")
            self.file.write_text("carol:new\n")
            self.assertNotEqual(answer(), b"STORED\r\n")
            node.child.send_signal(signal.SIGHUP)
            end = time.monotonic() + 30
            while answer() != b"STORED\r\n":
                self.assertLess(time.monotonic(), end)
            self.assertNotEqual(self.log_in(node.memcache, b"bob b:uilder")[1], b"STORED\r\n")
            self.assertEqual(old.get(b"k"), {})
            self.file.unlink()
            node.child.send_signal(signal.SIGHUP)
            while "the old users stay" not in node.errors():
                self.assertLess(time.monotonic(), end)
            self.assertEqual(answer(), b"STORED\r\n")
            self.assertEqual(node.stop()[0], 0)

    @unittest.skipUnless(MEMCACHED, "memcached is not installed")
    def test_the_answers_are_memcacheds(self):
        good, bad = b"set x 5 7 12\r\nbob b:uilder\r\n", b"set x 0 0 7\r\nbob bad\r\n"
        # Step by step: of several commands in one read memcached answers the last ones only. And no
        # password with a space, of which it takes the first word.
        dialogues = ([b"get a\r\n", b"version\r\n", b"bogus\r\n", b"\r\n", b"stats\r\n", good,
                      b"get x\r\n"],
                     [b"flush_all\r\n", b"incr a 1\r\n", b"set a 0 0\r\n", b"set a b c d\r\n"],
                     [bad, bad, good, bad, b"get x\r\n", good, b"get x\r\n"],
                     [b"set x 0 0 3\r\nbad\r\n", b"set x 0 0 0\r\n\r\n", good],
                     [b"set a 0 0 12 noreply\r\nbob b:uilder\r\n", b"version\r\n"],
                     [b"set x 0 0 2\r\nb bx", b"version\r\n", good],
                     # One line, one answer; no data block but a set's.
                     [b"get" + b" key" * 200 + b"\r\n", b"quit\r\n", b"gets\r\n", good],
                     [b"add k 0 0 100\r\n", b"ms k 100\r\n", b"set k 0 0 x\r\n", good],
                     [b"add k 0 0 3 noreply\r\n", b"cas k 0 0 3 1\r\n", b"x" * 2100],
                     [b"set a b c 12 and so on\r\nbob b:uilder\r\n", b"get x\r\n"],
                     [b"set x 0 0 12\r\nbob", b" b:uilder\r", b"\n", b"get x\r\n"])
        with Memcached("-Y", str(self.file)) as memcached, self.node() as node:
            for steps in dialogues:
                expected, received = (self.exchange(x.memcache, steps) for x in (memcached, node))
                with self.subTest(steps=steps):
                    self.assertEqual(received, expected)

    def exchange(self, port, steps):
        """The answer to each step; what comes within a moment."""
        end = time.monotonic() + 10
        while True:
            try:
                client = Client(port, 10)
                break
            except ConnectionRefusedError:
                self.assertLess(time.monotonic(), end)
        answers = []
        with client:
            client.socket.settimeout(0.1)
            for step in steps:
                client.send(step)
                try:
                    answers.append(client.socket.recv(65536))
                except TimeoutError:
                    answers.append(b"(silent)")
        return answers


if __name__ == "__main__":
    main()
