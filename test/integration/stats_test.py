#!/usr/bin/env python3
"""`stats` and what may stand behind it: memcached's names, and figures that are right."""

import re
import struct
import time
import unittest

from memcache import Client, set_command, wait_for_quorums
from processes import MEMCACHED, Memcached, Node, Nodes, TestCase, main


def binary_stats(client, topic):
    """The names and values that the binary protocol answers."""
    client.send(struct.pack(">BBHBBHIIQ", 0x80, 0x10, len(topic), 0, 0, 0, len(topic), 7, 0) + topic)
    found = {}
    while True:
        _, opcode, key, _, _, status, body, opaque, _ = struct.unpack(
            ">BBHBBHIIQ", client.exactly(24))
        text = client.exactly(body)
        if (opcode, status, opaque) != (0x10, 0, 7):
            raise AssertionError(f"opcode {opcode}, status {status}, opaque {opaque}")
        if key == 0:
            return found
        found[text[:key].decode()] = text[key:].decode()


def by_descriptor(stats):
    """What `stats conns` says: descriptor -> name -> value."""
    found = {}
    for name, value in stats.items():
        descriptor, _, name = name.partition(":")
        found.setdefault(int(descriptor), {})[name] = value
    return found


def address(socket_name):
    return f"tcp:{socket_name[0]}:{socket_name[1]}"


class Stats(TestCase):
    def setUp(self):
        super().setUp()
        self.node = Node("unused", "--storage.engine=memory", "--memcache.max-item-size=2k")
        self.addCleanup(self.end_node)
        self.client = Client(self.node.memcache)
        self.addCleanup(self.client.__exit__)

    def end_node(self):
        status, _ = self.node.stop()
        errors = self.node.errors()
        self.node.__exit__()
        self.assertEqual(status, 0, errors)

    def test_conns_lists_the_listener_and_every_client(self):
        with Client(self.node.memcache) as idle, Client(self.node.memcache) as binary:
            idle.ask(set_command(b"a", b"1"))
            time.sleep(1.1)
            for stats in (self.client.stats(b"conns"), binary_stats(binary, b"conns")):
                found = list(by_descriptor(stats).values())
                self.assertEqual(found.pop(0), {"addr": f"tcp:127.0.0.1:{self.node.memcache}",
                                                "state": "conn_listening",
                                                "secs_since_last_cmd": "0"})
                clients = {x["addr"]: x for x in found}
                self.assertEqual(clients.keys(), {address(x.socket.getsockname())
                                                  for x in (self.client, idle, binary)})
                for x in found:
                    self.assertEqual(x["listen_addr"], f"tcp:127.0.0.1:{self.node.memcache}")
                quiet = clients[address(idle.socket.getsockname())]
                self.assertEqual(quiet["state"], "conn_read")
                self.assertIn(quiet["secs_since_last_cmd"], ("1", "2", "3"))
        end = time.monotonic() + 30
        while len(by_descriptor(self.client.stats(b"conns"))) > 2:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        (asks,) = (x for x in by_descriptor(self.client.stats(b"conns")).values()
                   if x["state"] != "conn_listening")
        self.assertEqual((asks["state"], asks["secs_since_last_cmd"]), ("conn_parse_cmd", "0"))

    def test_a_client_that_does_not_read_is_seen_as_written_to(self):
        self.client.ask(set_command(b"a", b"x" * 2000))
        with Client(self.node.memcache) as never:
            never.socket.setblocking(False)
            end = time.monotonic() + 30
            while "conn_mwrite" not in self.client.stats(b"conns").values():
                self.assertLess(time.monotonic(), end)
                try:
                    never.socket.send(b"get a\r\n" * 10_000)
                except BlockingIOError:
                    pass

    def test_bytes_written_never_fall_and_are_reset(self):
        self.client.ask(set_command(b"a", b"x" * 2000))
        answer = len(b"VALUE a 0 2000\r\n" + b"x" * 2000 + b"\r\nEND\r\n")
        count = 10_000
        for _ in range(2):
            self.assertEqual(self.client.ask(b"stats reset\r\n"), b"RESET\r\n")
            written = 0
            with Client(self.node.memcache) as slow:
                # Its answers fill what the kernel keeps, and the node's buffers behind that.
                for _ in range(10):
                    slow.send(b"get a\r\n" * (count // 10))
                for i in range(count):
                    if i % 100 == 0:
                        now = int(self.client.stats()["bytes_written"])
                        self.assertGreaterEqual(now, written)
                        # What the kernel keeps is at most what there is.
                        self.assertLess(now, count * answer + 10_000_000)
                        written = now
                    slow.exactly(answer)
                self.assertGreaterEqual(int(self.client.stats()["bytes_written"]), count * answer)

    def test_counters_count_and_are_reset(self):
        for command in (set_command(b"a", b"1"), b"incr a 5\r\n", b"incr b 5\r\n", b"touch a 0\r\n",
                        b"delete b\r\n", b"cas a 0 0 1 1\r\n2\r\n", set_command(b"c", b"x" * 3000)):
            self.client.ask(command)
        self.client.get(b"a", b"b")
        wanted = {"cmd_get": "2", "get_hits": "1", "get_misses": "1", "cmd_touch": "1",
                  "incr_hits": "1", "incr_misses": "1", "touch_hits": "1", "delete_misses": "1",
                  "cas_badval": "1", "store_too_large": "1", "curr_items": "1", "total_items": "1",
                  "curr_connections": "1", "store_no_memory": "0"}
        stats = self.client.stats()
        self.assertEqual({name: stats[name] for name in wanted}, wanted)
        self.assertEqual(binary_stats(Client(self.node.memcache), b"").keys(), stats.keys())
        self.assertEqual(self.client.ask(b"stats reset\r\n"), b"RESET\r\n")
        stats = self.client.stats()
        for name in ("cmd_get", "incr_hits", "store_too_large", "total_items"):
            self.assertEqual(stats[name], "0", name)
        self.assertEqual(stats["curr_items"], "1")

    @unittest.skipUnless(MEMCACHED, "memcached is not installed")
    def test_hits_and_misses_are_counted_as_memcached_does(self):
        memcached = Memcached()
        self.addCleanup(memcached.__exit__)
        theirs = Client(memcached.memcache)
        self.addCleanup(theirs.__exit__)
        clients = (theirs, self.client)
        for client in clients:
            client.ask(set_command(b"a", b"x"))
        for command in (b"get a\r\n", b"get b\r\n", b"gat 0 a\r\n", b"gats 0 b\r\n",
                        b"touch a 0\r\n", b"touch b 0\r\n", b"mg a v\r\n", b"mg b v\r\n",
                        b"mg a T100\r\n", b"mg b T100\r\n", b"incr a 1\r\n", b"decr a 1\r\n",
                        b"incr b 1\r\n", b"decr b 1\r\n", b"md a C5\r\n", b"md a\r\n",
                        b"delete b\r\n", b"cas b 0 0 1 5\r\n1\r\n", b"ms a C5 1\r\n1\r\n"):
            counted = []
            for client in clients:
                before = client.stats()
                client.send(command + b"mn\r\n")
                while client.line() != b"MN\r\n":
                    pass
                after = client.stats()
                counted.append({name: int(after[name]) - int(before[name]) for name in before
                                if re.fullmatch("cmd_(get|set|touch)|.*_(hits|misses|badval)", name)
                                and after[name] != before[name]})
            with self.subTest(command=command):
                self.assertEqual(counted[1], counted[0])

    def test_what_does_not_fit_is_said_and_counted(self):
        for count in (1, 3):
            with self.subTest(nodes=count), \
                    Nodes(self.directory, count, "--storage.engine=memory",
                          "--storage.memory-limit=100k") as nodes:
                wait_for_quorums(nodes.ports())
                refused = 0
                for port in nodes.ports():
                    with Client(port) as client:
                        answers = [client.ask(set_command(b"%d-%d" % (port, i), b"x" * 10_000))
                                   for i in range(20)]
                        found = answers.count(b"SERVER_ERROR out of memory storing object\r\n")
                        self.assertEqual(answers.count(b"STORED\r\n") + found, len(answers), answers)
                        self.assertEqual(client.stats()["store_no_memory"], str(found))
                        refused += found
                self.assertGreater(refused, 0)

    def test_topics_without_a_meaning_here_are_answered_all_the_same(self):
        for topic in (b"items", b"slabs", b"sizes", b"settings"):
            self.client.stats(topic)
        self.assertEqual(self.client.stats(b"extstore"), {})
        self.assertEqual(self.client.ask(b"stats detail on\r\n"), b"OK\r\n")
        self.assertEqual(self.client.ask(b"stats no-such\r\n"), b"ERROR\r\n")

    @unittest.skipUnless(MEMCACHED, "memcached is not installed")
    def test_every_name_is_one_of_memcached_or_begins_with_kai(self):
        memcached = Memcached()
        self.addCleanup(memcached.__exit__)
        theirs = Client(memcached.memcache)
        self.addCleanup(theirs.__exit__)
        for client in (theirs, self.client):
            client.ask(set_command(b"a", b"1"))
        for topic in (b"", b"settings", b"items", b"slabs", b"sizes", b"conns"):
            known, ours = ({re.sub(r"\d+", "#", name) for name in x.stats(topic)}
                           for x in (theirs, self.client))
            with self.subTest(topic=topic):
                self.assertEqual({x for x in ours - known if not x.startswith("kai_")}, set())
        # What exporters and dashboards ask for.
        self.assertLessEqual(
            {"pid", "uptime", "time", "version", "pointer_size", "rusage_user", "rusage_system",
             "max_connections", "curr_connections", "total_connections", "rejected_connections",
             "connection_structures", "listen_disabled_num", "accepting_conns", "conn_yields",
             "threads", "cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "get_hits", "get_misses",
             "delete_hits", "delete_misses", "incr_hits", "incr_misses", "decr_hits", "decr_misses",
             "cas_hits", "cas_misses", "cas_badval", "touch_hits", "touch_misses", "auth_cmds",
             "auth_errors", "bytes_read", "bytes_written", "limit_maxbytes", "bytes", "curr_items",
             "total_items", "evictions", "reclaimed"}, self.client.stats().keys())


if __name__ == "__main__":
    main()
