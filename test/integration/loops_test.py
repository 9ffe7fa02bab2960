#!/usr/bin/env python3
"""Nodes of several I/O loops, each loop a member of its own, behind one port for clients."""

import shutil
import signal
import socket
import time

from memcache import Client, check_all, set_command, store_all
from processes import (Node, Nodes, TestCase, admin, await_status, free_port, main, run, run_admin,
                       wait_settled)

KEYS = [b"k%d" % i for i in range(2000)]
TOO_MANY = b"ERROR Too many open connections\r\n"


def host_of(member):
    return member.rpartition(".")[0]


def names_in(node):
    return [x["name"] for x in admin(node, "status")["members"]]


def loops_behind(port, clients=40):
    """How many loops share these clients: each says how many are with it on its own."""
    connections = [Client(port) for _ in range(clients)]
    for x in connections:
        # Answered, it is counted.
        x.stats()
    with_me = [int(x.stats()["curr_connections"]) for x in connections]
    for x in connections:
        x.__exit__()
    return round(sum(1 / x for x in with_me), 6)


class Loops(TestCase):
    def host(self, loops, *arguments, name="n", wait=True):
        return Node(self.directory / name, f"--node.name={name}", f"--node.loops={loops}",
                    *arguments, wait=wait)

    def check_spread(self, node, hosts, replicas=3):
        """Each partition's replicas lie on different hosts, and all loops have their share."""
        lists = [x["replicas"] for x in admin(node, "ring")["partitions"]]
        self.assertEqual(len(lists), 256)
        for names in lists:
            self.assertEqual(len({host_of(x) for x in names}), replicas, names)
        held = {}
        for name in (x for names in lists for x in names):
            held[name] = held.get(name, 0) + 1
        self.assertEqual({host_of(x) for x in held}, set(hosts))
        self.assertLessEqual(max(held.values()) - min(held.values()), 1, held)

    def start_again(self, nodes, number, *arguments):
        """On the same port for clients, and on free ones for nodes: with more loops than before the
        next ones may be taken."""
        old = nodes.nodes[number - 1]
        seed = next(x for x in nodes.nodes if x is not old)
        nodes.nodes[number - 1] = nodes.start(number, f"--memcache.port={old.memcache}", "-j",
                                              f"127.0.0.1:{seed.cluster}", *arguments)
        old.__exit__()
        return nodes.nodes[number - 1]

    def test_three_hosts_of_two_loops_keep_everything_when_one_dies(self):
        with Nodes(self.directory, 3, "--node.loops=2") as nodes:
            first, _, third = nodes.nodes
            self.assertEqual([x.name for x in nodes.nodes], ["n1", "n2", "n3"])
            wait_settled(first)
            members = admin(first, "status")["members"]
            self.assertEqual([x["name"] for x in members],
                             ["n1.1", "n1.2", "n2.1", "n2.2", "n3.1", "n3.2"])
            for x in members:
                self.assertEqual(x["zone"], host_of(x["name"]))
            self.assertEqual(members[0]["memcache"], members[1]["memcache"])
            self.check_spread(first, ["n1", "n2", "n3"])
            for port in nodes.ports():
                self.assertEqual(loops_behind(port), 2)
            # On some connections, for each goes to either loop of its host.
            store_all(nodes.ports() * 4, KEYS, lambda key: key, at_once=50)
            for _ in range(4):
                check_all(nodes.ports()[1:] + nodes.ports()[:1], KEYS, lambda key: key)

            nodes.kill(3)
            alive = nodes.ports()[:2]
            await_status(first, lambda x: [m["state"] for m in x["members"][4:]] == ["down"] * 2)
            check_all(alive * 4, KEYS, lambda key: key)
            store_all(alive * 4, KEYS, lambda key: key + b"!", at_once=50)
            check_all(alive[::-1] * 4, KEYS, lambda key: key + b"!")

            again = self.start_again(nodes, 3)
            self.assertEqual(again.memcache, third.memcache)
            wait_settled(again)
            check_all([again.memcache] * 4, KEYS, lambda key: key + b"!")
            self.assertEqual(loops_behind(again.memcache), 2)
            for node in nodes.nodes:
                status, seconds = node.stop()
                self.assertEqual((status, node.rest()), (0, ""))
                self.assertLess(seconds, 5)

    def test_loops_are_added_by_a_start_with_more_and_leave_before_one_with_fewer(self):
        with Nodes(self.directory, 3, "--node.loops=2") as nodes:
            wait_settled(nodes.nodes[0])
            store_all(nodes.ports(), KEYS, lambda key: key)
            self.assertEqual(nodes.nodes[0].stop()[0], 0)
            node = self.start_again(nodes, 1, "--node.loops=3")
            wait_settled(node)
            self.assertEqual(names_in(node),
                             ["n1.1", "n1.2", "n1.3", "n2.1", "n2.2", "n3.1", "n3.2"])
            self.assertEqual(loops_behind(node.memcache), 3)
            check_all([node.memcache] * 4, KEYS, lambda key: key)

            self.assertEqual(node.stop()[0], 0)
            arguments = ["kai-node", "-p", "0", "-c", "0", "-d", self.directory / "n1",
                         "--node.name=n1", "-j", f"127.0.0.1:{nodes.nodes[1].cluster}"]
            self.check_complaint(run(*arguments, "--node.loops=2"), 2, "node.loops: ",
                                 f"{self.directory}/n1 holds the data of n1.3,",
                                 "start with node.loops=3", "(kai-admin leave n1.3)")
            self.check_complaint(run(*arguments), 2, "node.loops: ", "n1.1, n1.2, n1.3,",
                                 "start with node.loops=3")

            node = self.start_again(nodes, 1, "--node.loops=3")
            wait_settled(node)
            left = run_admin(nodes.nodes[1], "leave", "n1.3")
            self.assertEqual(left.returncode, 0, left.stderr)
            # The host goes on with the loops that are left; clients find only those.
            wait_settled(node)
            end = time.monotonic() + 10
            while "has left its cluster and is stopped" not in node.errors():
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            self.assertEqual(loops_behind(node.memcache), 2)
            check_all([node.memcache] * 4, KEYS, lambda key: key)
            self.assertEqual(node.stop()[0], 0)

            # The two others are ended while they connect to everybody.
            for _ in range(10):
                gone = run(*arguments, "--node.loops=3")
                self.assertEqual(gone.returncode, 2, gone.stderr)
                self.assertIn("n1.3: storage.directory", gone.stderr)
            node = self.start_again(nodes, 1, "--node.loops=2")
            wait_settled(node)
            self.assertEqual(names_in(node), ["n1.1", "n1.2", "n2.1", "n2.2", "n3.1", "n3.2"])
            check_all(nodes.ports(), KEYS, lambda key: key)

            # Its directory emptied, the third joins as a new member.
            self.assertEqual(node.stop()[0], 0)
            shutil.rmtree(self.directory / "n1" / "loop-3")
            node = self.start_again(nodes, 1, "--node.loops=3")
            wait_settled(node)
            check_all(nodes.ports(), KEYS, lambda key: key)

    def test_a_host_whose_loops_have_all_left_ends_with_0(self):
        with Nodes(self.directory, 4, "--node.loops=2") as nodes:
            last = nodes.nodes[-1]
            wait_settled(last)
            store_all(nodes.ports(), KEYS, lambda key: key)
            for name in ("n4.1", "n4.2"):
                left = run_admin(nodes.nodes[0], "leave", name)
                self.assertEqual(left.returncode, 0, left.stderr)
            self.assertEqual(last.child.wait(10), 0)
            self.check_spread(nodes.nodes[0], ["n1", "n2", "n3"])
            check_all(nodes.ports()[:3], KEYS, lambda key: key)

    def test_a_node_becomes_one_of_loops_through_another_beside_it(self):
        with Node(self.directory / "n", "--node.name=n", "--cluster.replicas=1") as plain:
            store_all([plain.memcache], KEYS, lambda key: key)
            arguments = ["-p", "0", "-c", "0", "-d", self.directory / "n", "--node.name=n",
                         "--node.loops=2"]
            self.check_complaint(run("kai-node", *arguments), 2, "storage.directory", "in use")
            with self.host(2, "-j", f"127.0.0.1:{plain.cluster}", name="m") as loops:
                wait_settled(loops)
                self.assertEqual(names_in(loops), ["m.1", "m.2", "n"])
                left = run_admin(loops, "leave", "n")
                self.assertEqual(left.returncode, 0, left.stderr)
                self.assertEqual(plain.child.wait(10), 0)
                check_all([loops.memcache] * 4, KEYS, lambda key: key)

    def test_one_host_comes_back_with_its_data_where_any_port_will_do(self):
        with self.host(3, "--cluster.replicas=1") as node:
            store_all([node.memcache] * 4, KEYS, lambda key: key)
            self.assertEqual(node.stop()[0], 0)
        with self.host(3) as node:
            check_all([node.memcache] * 4, KEYS, lambda key: key)
            self.assertEqual(node.stop(signal.SIGKILL)[0], -signal.SIGKILL)
        with self.host(3) as node:
            check_all([node.memcache] * 4, KEYS, lambda key: key)

    def test_connections_are_limited_for_all_loops_together(self):
        arguments = ["--storage.engine=memory", "--memcache.max-connections=20"]
        with self.host(4, *arguments) as node:
            for _ in range(3):
                clients = [Client(node.memcache) for _ in range(20)]
                for client in clients:
                    self.assertEqual(client.ask(set_command(b"k", b"v")), b"STORED\r\n")
                for _ in range(3):
                    with Client(node.memcache) as refused:
                        self.assertEqual(refused.rest(), TOO_MANY)
                for client in clients:
                    client.__exit__()
                self.await_seats(node.memcache, 20)

    def await_seats(self, port, count):
        """Until so many clients find room: closed connections are noticed a little later."""
        end = time.monotonic() + 10
        while True:
            clients = [Client(port) for _ in range(count)]
            answers = [x.ask(b"version\r\n") for x in clients]
            for x in clients:
                x.__exit__()
            if TOO_MANY not in answers:
                time.sleep(0.2)
                return
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def test_a_port_that_is_in_use_is_refused_with_loops_and_without(self):
        with self.host(2, "--storage.engine=memory") as node:
            for loops in (1, 2):
                result = run("kai-node", "-p", str(node.memcache), "-c", "0", "--node.name=m",
                             f"--node.loops={loops}", "--storage.engine=memory")
                self.assertEqual(result.returncode, 2)
                self.assertIn(f"memcache.port: cannot listen on 127.0.0.1:{node.memcache}",
                              result.stderr)
        first, second = free_port(), free_port()
        while second != first + 1:
            first, second = second, free_port()
        with socket.create_server(("127.0.0.1", second)):
            result = run("kai-node", "-p", "0", "-c", str(first), "--node.name=m",
                         "--node.loops=2", "--storage.engine=memory")
            self.assertEqual(result.returncode, 2)
            self.assertIn("m.2: cluster.port: cannot listen on", result.stderr)

    def test_the_admin_server_is_the_first_loops(self):
        with self.host(2, "--storage.engine=memory", "--admin.port=0") as node:
            self.assertRegex(node.admin, r"127\.0\.0\.1:\d+")
            port = int(node.admin.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), 10) as http:
                http.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
                self.assertIn(b" 200 ", http.recv(4096))


if __name__ == "__main__":
    main()
