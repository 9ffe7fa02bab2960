#!/usr/bin/env python3
"""Many keys through five processes: all of them are there, through every node, and again after
all nodes were stopped or killed. KAI_TEST_KEYS says how many (200000 take minutes). And flush_all,
which takes them all away."""

import os
import signal
import time

from memcache import Client, check_all, set_command, store_all, wait_for_quorums
from processes import Nodes, TestCase, main

KEYS = int(os.environ.get("KAI_TEST_KEYS", "20000"))


def value_of(key):
    return (key * (1024 // len(key) + 1))[:1024]


def names(prefix, count):
    return [b"%s-%07d" % (prefix, i) for i in range(count)]


class Keys(TestCase):
    def timed(self, what, action, *arguments):
        begin = time.monotonic()
        action(*arguments)
        print(f"  {what}: {time.monotonic() - begin:.1f} s", flush=True)

    def check_through_others(self, nodes, keys):
        """The batch that one node took is read through the next."""
        ports = nodes.ports()
        check_all(ports[1:] + ports[:1], keys, value_of)

    def write_end_and_read(self, how, status, keys, *arguments):
        with Nodes(self.directory, 5, *arguments) as nodes:
            self.timed(f"{len(keys)} keys stored", store_all, nodes.ports(), keys, value_of)
            self.timed("read through the others", self.check_through_others, nodes, keys)
            self.assertEqual(nodes.end_all(how), [status] * 5)
            self.timed("started again", nodes.start_all)
            self.timed("found each other", wait_for_quorums, nodes.ports())
            self.timed("read again", self.check_through_others, nodes, keys)
            self.assertEqual(nodes.end_all(signal.SIGTERM), [0] * 5)

    def test_all_keys_survive_an_orderly_stop_of_all_nodes(self):
        self.write_end_and_read(signal.SIGTERM, 0, names(b"stop", KEYS))

    def test_all_keys_survive_a_kill_of_all_nodes_with_sync_always(self):
        self.write_end_and_read(signal.SIGKILL, -signal.SIGKILL, names(b"kill", KEYS),
                                "--storage.sync=always")


class Flushes(TestCase):
    def test_what_a_flush_took_stays_away_whatever_flush_comes_right_after_it(self):
        with Nodes(self.directory, 3, "--storage.engine=memory") as nodes:
            wait_for_quorums(nodes.ports())
            clients = [Client(port) for port in nodes.ports()]
            for client in clients:
                self.addCleanup(client.__exit__)
            for i in range(24):
                key = b"flushed-%d" % i
                self.assertEqual(clients[2].ask(set_command(key, b"x")), b"STORED\r\n")
                clients[0].send(b"flush_all\r\n")
                # The first one's mark lies 30 ms ahead.
                time.sleep(0.004 * (i % 12))
                clients[1].send(b"flush_all\r\n" if i % 2 else b"flush_all 1000\r\n")
                self.assertEqual(clients[0].line(), b"OK\r\n")
                for client in (clients[0], clients[2]):
                    self.assertEqual(client.get(key), {}, i)
                self.assertEqual(clients[1].line(), b"OK\r\n")
                self.assertEqual(clients[1].get(key), {}, i)


if __name__ == "__main__":
    main()
