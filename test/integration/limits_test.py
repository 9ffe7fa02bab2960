#!/usr/bin/env python3
"""Every limit a client can exceed, exceeded from outside: the answer, what goes on working, and
that the node does not grow.

KAI_TEST_IDLE_CLIENTS says for how many idle clients' memory is looked at (default 500)."""

import os
import select
import signal
import socket
import struct
import time

from memcache import Client, set_command, store_all, wait_for_quorums
from processes import Node, Nodes, TestCase, locate, main, raise_descriptor_limit

MB = 1 << 20
# Growth that one client may cause: 4 MB of answers under way, 1 MB unsent, 4 MB of requests, their
# copies on the way and what the heap keeps.
GROWTH_MAX = 48 * MB
IDLE_CLIENTS = int(os.environ.get("KAI_TEST_IDLE_CLIENTS", "500"))


def memory(node, what="VmRSS"):
    """Bytes of resident memory; VmHWM for the most there ever was."""
    with open(f"/proc/{node.child.pid}/status") as status:
        for line in status:
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"no {what}")


def reset_peak(node):
    """From now on VmHWM is the most from now on; what there is now."""
    with open(f"/proc/{node.child.pid}/clear_refs", "w") as file:
        file.write("5")
    return memory(node)


def send_what_fits(connection, data, quiet_seconds=0.5):
    """Sends until nothing was taken for a while; how much was."""
    connection.setblocking(False)
    sent = 0
    view = memoryview(data)
    while sent < len(data):
        if not select.select([], [connection], [], quiet_seconds)[1]:
            break
        sent += connection.send(view[sent:sent + MB])
    connection.setblocking(True)
    connection.settimeout(60)
    return sent


def read_all(connection):
    data = bytearray()
    while part := connection.recv(MB):
        data += part
    return data


def small_window(port):
    """A client for which the kernel keeps little."""
    client = Client.__new__(Client)
    client.received = b""
    client.socket = socket.socket()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.socket.settimeout(60)
    client.socket.connect(("127.0.0.1", port))
    return client


class Limits(TestCase):
    def setUp(self):
        super().setUp()
        self.node = Node("unused", "--storage.engine=memory")
        self.addCleanup(self.end_node)

    def end_node(self):
        status, _ = self.node.stop()
        errors = self.node.errors()
        self.node.__exit__()
        self.assertEqual(status, 0, errors)

    def client(self):
        client = Client(self.node.memcache)
        self.addCleanup(client.__exit__)
        return client

    def check_works(self, client):
        self.assertEqual(client.ask(set_command(b"alive", b"yes")), b"STORED\r\n")
        self.assertEqual(client.get(b"alive"), {b"alive": b"yes"})

    def check_grew_little(self, before):
        grown = memory(self.node) - before
        print(f"  grew by {grown / MB:.1f} MB", flush=True)
        self.assertLess(grown, GROWTH_MAX)

    def check_peak(self, node, before):
        grown = memory(node, "VmHWM") - before
        print(f"  grew by up to {grown / MB:.1f} MB", flush=True)
        self.assertLess(grown, GROWTH_MAX)

    def test_a_command_line_that_is_too_long_closes_the_connection(self):
        client = self.client()
        client.send(b"set " + b"x" * 4000)
        self.assertEqual(client.rest(), b"")
        self.check_works(self.client())

    def test_a_key_that_is_too_long_is_refused(self):
        client = self.client()
        long = b"k" * 251
        for command in (b"get " + long, b"gets a " + long, b"delete " + long, b"incr %s 1" % long,
                        b"touch %s 1" % long):
            self.assertEqual(client.ask(command + b"\r\n"),
                             b"CLIENT_ERROR bad command line format\r\n")
        self.assertEqual(client.ask(set_command(long[1:], b"fits")), b"STORED\r\n")
        self.assertEqual(client.get(long[1:]), {long[1:]: b"fits"})

    def test_an_item_that_is_too_large_is_swallowed_and_answered(self):
        client = self.client()
        refused = b"SERVER_ERROR object too large for cache\r\n"
        self.assertEqual(client.ask(set_command(b"large", b"x" * MB)), b"STORED\r\n")
        for value in (b"x" * (MB + 1), b"get alive\r\n" * 500_000):
            self.assertEqual(client.ask(set_command(b"large", value)), refused)
            self.check_works(client)
        self.assertEqual(client.get(b"large"), {})

    def test_one_connection_too_many_is_told_so(self):
        with Node("unused", "--storage.engine=memory", "--memcache.max-connections=20") as node:
            open_ones = [Client(node.memcache) for _ in range(20)]
            for client in open_ones:
                self.check_works(client)
            for _ in range(3):
                with Client(node.memcache) as refused:
                    self.assertEqual(refused.rest(), b"ERROR Too many open connections\r\n")
            stats = open_ones[0].stats()
            self.assertEqual((stats["curr_connections"], stats["rejected_connections"]),
                             ("20", "3"))
            for client in open_ones[10:]:
                client.__exit__()
            while int(open_ones[0].stats()["curr_connections"]) > 10:
                time.sleep(0.01)
            for client in open_ones[:10] + [Client(node.memcache) for _ in range(10)]:
                self.check_works(client)
                client.__exit__()

    def test_many_sets_in_flight_are_all_answered_in_order(self):
        for size, count in ((10, 50_000), (20_000, 2_000), (900_000, 60)):
            with self.subTest(size=size):
                client, before = self.client(), memory(self.node)
                keys = [b"flight-%d" % (i % 40) for i in range(count)]
                data = b"".join(set_command(key, b"%09d" % i + b"." * size) +
                                (b"get " + key + b"\r\n" if i % 50 == 49 else b"")
                                for i, key in enumerate(keys))
                sent = send_what_fits(client.socket, data)
                print(f"  {sent} of {len(data)} bytes were taken unread", flush=True)
                self.check_grew_little(before)
                # The rest while the answers are read.
                answers = 0
                pid = os.fork()
                if pid == 0:
                    client.socket.sendall(memoryview(data)[sent:])
                    os._exit(0)
                while answers < count:
                    self.assertEqual(client.line(), b"STORED\r\n")
                    if answers % 50 == 49:
                        (value,) = client.values().values()
                        self.assertEqual(value[:9], b"%09d" % answers)
                    answers += 1
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
                self.check_works(client)

    def test_a_client_that_reads_late_gets_every_answer_in_order(self):
        value = b"v" * 5000
        store_all([self.node.memcache], [b"late-%d" % i for i in range(50)], lambda key: key + value)
        client, before = small_window(self.node.memcache), memory(self.node)
        self.addCleanup(client.__exit__)
        count = 20_000
        data = b"".join(b"get late-%d\r\n" % (i % 50) for i in range(count))
        sent = send_what_fits(client.socket, data)
        self.check_grew_little(before)
        pid = os.fork()
        if pid == 0:
            client.socket.sendall(memoryview(data)[sent:])
            os._exit(0)
        for i in range(count):
            key = b"late-%d" % (i % 50)
            self.assertEqual(client.values(), {key: key + value})
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.check_works(client)

    def test_a_get_of_10000_keys_with_a_slow_reader_is_bounded_and_right(self):
        keys = [b"many-%d" % i for i in range(10_000)]
        store_all([self.node.memcache], keys, lambda key: (key * 400)[:2048])
        client, before = small_window(self.node.memcache), memory(self.node)
        self.addCleanup(client.__exit__)
        client.send(b"get " + b" ".join(keys * 3) + b"\r\n")
        time.sleep(1)
        self.check_grew_little(before)
        client.send(b"get late\r\n")
        found = client.values()
        self.assertEqual(found, {key: (key * 400)[:2048] for key in keys})
        self.assertEqual(client.values(), {})

    def test_large_values_after_many_small_ones_do_not_make_the_node_grow(self):
        small = [b"small-%d" % i for i in range(64)]
        large = [b"large-%d" % i for i in range(256)]

        def value_of(key):
            return key if key in small else key * (500_000 // len(key))

        store_all([self.node.memcache], small + large, value_of, 10)
        for gets in ([large], [[key] for key in large]):
            client = small_window(self.node.memcache)
            self.addCleanup(client.__exit__)
            for _ in range(4):
                self.assertEqual(client.get(*small), {key: key for key in small})
            before = reset_peak(self.node)
            client.send(b"".join(b"get " + b" ".join(keys) + b"\r\n" for keys in gets))
            time.sleep(1)
            self.check_peak(self.node, before)
            for keys in gets:
                found = client.values()
                self.assertEqual(list(found), keys)
                self.assertEqual(all(found[key] == value_of(key) for key in keys), True)
        self.check_works(self.client())

    def test_answers_behind_one_that_is_late_do_not_make_the_node_grow(self):
        with Nodes(self.directory, 2, "--storage.engine=memory", "--cluster.replicas=1") as nodes:
            wait_for_quorums(nodes.ports())
            near, far = nodes.nodes
            keys = {"n1": [], "n2": []}
            while min(len(x) for x in keys.values()) < 40:
                key = b"key-%d" % sum(len(x) for x in keys.values())
                (holder,) = locate(near, key.decode())
                keys[holder].append(key)
            value = b"v" * 5_000
            store_all([near.memcache], keys["n1"], lambda _: value)
            far.child.send_signal(signal.SIGSTOP)
            with Client(near.memcache) as client:
                for _ in range(4):
                    client.get(*keys["n1"])
                before = reset_peak(near)
                count = 1_000
                client.send(b"get " + keys["n2"][0] + b"\r\n" +
                            b"".join(b"get " + keys["n1"][i % 40] + b"\r\n" for i in range(count)) * 25)
                self.assertTrue(client.line().startswith(b"SERVER_ERROR"))
                self.check_peak(near, before)
                for i in range(25 * count):
                    self.assertEqual(client.values(), {keys["n1"][i % count % 40]: value})
            far.child.send_signal(signal.SIGCONT)

    def test_a_get_ends_with_the_first_key_that_fails_however_many_follow(self):
        with Nodes(self.directory, 3, "--storage.engine=memory") as nodes:
            wait_for_quorums(nodes.ports())
            for node in nodes.nodes[1:]:
                node.child.send_signal(signal.SIGSTOP)
            with Client(nodes.nodes[0].memcache) as client:
                keys = b" ".join(b"fails-%d" % i for i in range(50_000))
                for command in (b"get", b"gets"):
                    before = int(client.stats()["kai_requests_failed"])
                    client.send(command + b" " + keys + b"\r\nversion\r\n")
                    self.assertTrue(client.line().startswith(b"SERVER_ERROR"))
                    self.assertEqual(client.line(), b"VERSION 1.6.18\r\n")
                    # Those that were under way already.
                    failed = int(client.stats()["kai_requests_failed"]) - before
                    self.assertLessEqual(failed, 256)
            for node in nodes.nodes[1:]:
                node.child.send_signal(signal.SIGCONT)

    def test_a_key_that_fails_before_its_turn_is_the_last_that_is_looked_for(self):
        with Nodes(self.directory, 3, "--storage.engine=memory", "--cluster.replicas=1") as nodes:
            wait_for_quorums(nodes.ports())
            near, gone, late = nodes.nodes
            keys = {x.name: [] for x in nodes.nodes}
            while len(keys[gone.name]) < 20 or not keys[late.name]:
                key = b"key-%d" % sum(len(x) for x in keys.values())
                (holder,) = locate(near, key.decode())
                keys[holder].append(key)
            with Client(near.memcache) as client:
                gone.child.send_signal(signal.SIGSTOP)
                # Until the node knows that it is gone, and does not wait for it any more.
                while True:
                    before = time.monotonic()
                    self.assertTrue(client.ask(b"get " + keys[gone.name][0] + b"\r\n")
                                    .startswith(b"SERVER_ERROR"))
                    if time.monotonic() - before < 0.1:
                        break
                late.child.send_signal(signal.SIGSTOP)
                before = int(client.stats()["kai_requests_failed"])
                client.send(b"get " + b" ".join([keys[late.name][0]] + keys[gone.name] * 500) +
                            b"\r\n")
                self.assertTrue(client.line().startswith(b"SERVER_ERROR"))
                failed = int(client.stats()["kai_requests_failed"]) - before
                self.assertLessEqual(failed, 256)
            for node in (gone, late):
                node.child.send_signal(signal.SIGCONT)

    def test_many_short_keys_sent_at_once_take_little_memory(self):
        store_all([self.node.memcache], [b"b"], lambda key: key * 500_000)
        reset_peak(self.node)
        before = memory(self.node)
        clients = [small_window(self.node.memcache) for _ in range(20)]
        for client in clients:
            self.addCleanup(client.__exit__)
            send_what_fits(client.socket, b"get " + b"b " * 30_000 + b"\r\n", 0.2)
        time.sleep(1)
        each = (memory(self.node, "VmHWM") - before) / len(clients)
        print(f"  {each / MB:.1f} MB per client", flush=True)
        self.assertLess(each, 6 * MB)

    def test_what_a_fresh_connection_sends_at_once_is_under_way_at_once(self):
        sets = b"".join(set_command(b"at-once-%d" % i, b"x") for i in range(200))
        misses = b"get " + b" ".join(b"nothing-%d" % i for i in range(100)) + b"\r\n"
        gats = b"gat 0 " + b" ".join(b"at-once-%d" % i for i in range(100)) + b"\r\n"
        with Nodes(self.directory, 3, "--storage.engine=memory") as nodes:
            wait_for_quorums(nodes.ports())
            watch = Client(nodes.nodes[0].memcache)
            self.addCleanup(watch.__exit__)
            for data, ends in ((sets, 200), (misses, 1), (gats, 101)):
                with Client(nodes.nodes[0].memcache) as client:
                    before = int(watch.stats()["kai_call_batches"])
                    client.send(data)
                    lines = 0
                    while lines < ends:
                        lines += client.line() in (b"STORED\r\n", b"END\r\n", b"x\r\n")
                    batches = int(watch.stats()["kai_call_batches"]) - before
                    print(f"  {batches} batches of calls", flush=True)
                    # Two at a time would take some hundreds.
                    self.assertLess(batches, 60)

    def test_clients_that_never_read_do_not_make_the_node_grow(self):
        store_all([self.node.memcache], [b"big"], lambda key: b"b" * 500_000)
        before = memory(self.node)
        never = [self.client() for _ in range(4)]
        for client in never:
            send_what_fits(client.socket, b"get big\r\n" * 5_000, 0.3)
        self.assertLess(memory(self.node) - before, 4 * GROWTH_MAX)
        self.check_grew_little(memory(self.node))
        self.check_works(self.client())
        for client in never:
            # Closes hard, with everything unread.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.__exit__()
        self.check_works(self.client())

    def test_a_client_that_closes_its_half_gets_all_answers(self):
        for count, size in ((1, 3), (3_000, 100), (100, 100_000)):
            value = b"h" * size
            store_all([self.node.memcache], [b"half"], lambda _: value)
            client = self.client()
            client.send(b"get half\r\n" * count)
            client.socket.shutdown(socket.SHUT_WR)
            expected = b"VALUE half 0 %d\r\n%s\r\nEND\r\n" % (size, value) * count
            self.assertEqual(client.rest() == expected, True, (count, size))

    def test_one_byte_at_a_time_is_understood(self):
        client = self.client()
        for byte in b"set bytes 5 0 4\r\n\r\n\r\n\r\nget bytes nothing\r\n":
            client.send(bytes([byte]))
        self.assertEqual(client.line(), b"STORED\r\n")
        self.assertEqual(client.values(), {b"bytes": b"\r\n\r\n"})

    def test_garbage_is_answered_with_errors_or_closed(self):
        for seed in range(20):
            client = self.client()
            garbage = b"".join(bytes([(seed * 7919 + i * i * 31 + i // 7) % 255 + 1])
                               for i in range(1500))
            # The first byte of the binary protocol is not for this test.
            client.send(b"g" + garbage.replace(b"\x80", b"?") + b"\r\nversion\r\nquit\r\n")
            for line in client.rest().splitlines():
                self.assertRegex(line, rb"^(ERROR|CLIENT_ERROR .*|VERSION 1\.6\.18)$")
        self.check_works(self.client())

    def test_idle_clients_cost_little(self):
        raise_descriptor_limit(IDLE_CLIENTS)
        with Node("unused", "--storage.engine=memory",
                  f"--memcache.max-connections={IDLE_CLIENTS + 1}") as node:
            with Client(node.memcache) as first:
                self.check_works(first)
            before = memory(node)
            clients = [Client(node.memcache) for _ in range(IDLE_CLIENTS)]
            for client in clients:
                self.check_works(client)
            each = (memory(node) - before) / IDLE_CLIENTS
            print(f"  {each / 1024:.1f} KB per idle connection", flush=True)
            self.assertLess(each, 100 * 1024)
            for client in clients:
                client.__exit__()

    def test_a_client_that_takes_no_answers_keeps_its_seat_and_holds_up_no_stop(self):
        client = self.client()
        self.assertEqual(client.ask(set_command(b"large", b"x" * MB)), b"STORED\r\n")
        held = []
        for last in (b"quit\r\n", None, b""):
            other = small_window(self.node.memcache)
            self.addCleanup(other.__exit__)
            other.send(b"get large\r\n" * 5 + (last or b""))
            if last is None:
                other.socket.shutdown(socket.SHUT_WR)
            held.append(other)
        time.sleep(0.5)
        self.assertEqual(int(client.stats()["curr_connections"]), 4)
        # One that takes all of it after all gets all of it.
        self.assertEqual(len(read_all(held[0].socket)), 5 * len(
            b"VALUE large 0 1048576\r\n" + b"x" * MB + b"\r\nEND\r\n"))
        time.sleep(0.2)
        self.assertEqual(int(client.stats()["curr_connections"]), 3)
        begin = time.monotonic()
        self.assertEqual(self.node.stop()[0], 0, self.node.errors())
        self.assertLess(time.monotonic() - begin, 4.5)

    def test_large_values_come_in_a_row_whatever_their_size(self):
        # About what may be unsent and under way, where one answer more or less decides.
        for size in (MB, MB - 30, MB - 40, MB // 4, MB // 4 - 30, MB // 2):
            client = self.client()
            self.assertEqual(client.ask(set_command(b"large", b"x" * size)), b"STORED\r\n")
            for ends in (True, False):
                other = self.client()
                other.socket.settimeout(10)
                other.send(b"get large\r\n" * 20 + (b"quit\r\n" if ends else b""))
                if not ends:
                    other.socket.shutdown(socket.SHUT_WR)
                line = b"VALUE large 0 %d\r\n" % size
                self.assertEqual(len(read_all(other.socket)),
                                 20 * (len(line) + size + len(b"\r\nEND\r\n")), size)

    def test_a_client_that_ends_with_what_closes_its_connection_harms_nobody(self):
        # As long as one read, so that the end of the stream is read in the same go.
        for size in (4096, 4095, 4097):
            versions = b"version\r\n" * ((size - 6) // 9)
            fill = b" " * (size - 6 - len(versions))
            for data in (b"x" * size, versions + fill + b"quit\r\n"):
                self.node.child.send_signal(signal.SIGSTOP)
                client = self.client()
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                self.node.child.send_signal(signal.SIGCONT)
                client.rest()
                self.check_works(self.client())

    def test_a_client_that_leaves_at_any_moment_harms_nobody(self):
        data = b"".join(set_command(b"leave-%d" % i, b"x" * 3000) + b"get leave-%d\r\n" % i
                        for i in range(300))
        for part in range(1, 60):
            client = self.client()
            client.send(data[:part * len(data) // 60])
            if part % 2:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                         struct.pack("ii", 1, 0))
            client.__exit__()
        self.check_works(self.client())


if __name__ == "__main__":
    main()
