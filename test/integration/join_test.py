#!/usr/bin/env python3
"""Joining, coming back, and whom a directory belongs to."""

import json
import signal
import time

from memcache import Client, check_all, store_all, wait_for_quorums
from processes import PATIENCE, Node, Nodes, TestCase, free_port, main, run


class Join(TestCase):
    def members(self, port):
        with Client(port) as client:
            return int(client.stats()["kai_members"])

    def await_members(self, ports, count):
        end = time.monotonic() + PATIENCE
        for port in ports:
            while self.members(port) != count:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.02)

    def check_balanced(self, node, members):
        """Every member holds its share of the 256 partitions' 3 replicas."""
        settled = run("kai-admin", f"--node=127.0.0.1:{node.cluster}", "wait-settled")
        self.assertEqual(settled.returncode, 0, settled.stderr)
        result = run("kai-admin", f"--node=127.0.0.1:{node.cluster}", "ring", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        replicas = [x["replicas"] for x in json.loads(result.stdout)["partitions"]]
        self.assertEqual(len(replicas), 256)
        for place in (slice(None), slice(1)):
            names = [name for x in replicas for name in x[place]]
            shares = [names.count(name) for name in set(names)]
            self.assertEqual(len(shares), members)
            self.assertLessEqual(max(shares) - min(shares), 1)

    def test_five_nodes_started_at_once_find_each_other_and_a_sixth_joins(self):
        seed = free_port()
        nodes = []
        try:
            for i in range(2, 6):
                nodes.append(Node(self.directory / f"n{i}", f"--node.name=n{i}", "-j",
                                  f"127.0.0.1:{seed}", wait=False))
            # The one that the others look for comes last.
            nodes.append(Node(self.directory / "n1", "--node.name=n1", "-c", str(seed), wait=False))
            for node in nodes:
                node.get_ready()
            self.await_members([node.memcache for node in nodes], 5)
            self.check_balanced(nodes[0], 5)
            nodes.append(Node(self.directory / "n6", "--node.name=n6", "-j",
                              f"127.0.0.1:{nodes[2].cluster}"))
            ports = [node.memcache for node in nodes]
            self.await_members(ports, 6)
            self.check_balanced(nodes[0], 6)
            wait_for_quorums(ports)
            keys = [b"k%d" % i for i in range(1000)]
            store_all(ports, keys, lambda key: key)
            check_all(ports[3:] + ports[:3], keys, lambda key: key)
        finally:
            for node in nodes:
                node.__exit__()

    def test_nodes_that_come_back_on_other_ports_find_each_other(self):
        keys = [b"k%d" % i for i in range(1000)]
        with Nodes(self.directory, 3) as nodes:
            wait_for_quorums(nodes.ports())
            store_all(nodes.ports(), keys, lambda key: key)
            first = nodes.nodes[0]
            self.assertEqual(first.stop()[0], 0)
            first.__exit__()
            nodes.nodes[0] = nodes.start(1, "-j", f"127.0.0.1:{nodes.nodes[1].cluster}")
            self.assertNotEqual(nodes.nodes[0].cluster, first.cluster)
            wait_for_quorums(nodes.ports())
            check_all(nodes.ports(), keys, lambda key: key)
            self.assertEqual([self.members(port) for port in nodes.ports()], [3] * 3)
            # The others, with the returned one's address in their membership only.
            for i in (1, 2):
                self.assertEqual(nodes.nodes[i].stop(signal.SIGINT)[0], 0)
                nodes.nodes[i].__exit__()
                nodes.nodes[i] = nodes.start(i + 1)
                wait_for_quorums(nodes.ports())
            check_all(nodes.ports(), keys, lambda key: key)

    def test_a_directory_in_use_or_of_another_node_is_refused(self):
        with Node(self.directory / "d", "--node.name=owner") as node:
            with Node(self.directory / "d", "--node.name=owner", wait=False) as second:
                self.assertNotEqual(second.child.wait(PATIENCE), 0)
                self.assertIn("storage.directory", second.errors())
            self.assertEqual(node.stop()[0], 0)
        with Node(self.directory / "d", "--node.name=other", wait=False) as other:
            self.assertNotEqual(other.child.wait(PATIENCE), 0)
            self.assertRegex(other.errors(), "belongs to node owner, not to other")
        with Node(self.directory / "d", "--node.name=owner") as node:
            self.assertEqual(node.stop()[0], 0)


if __name__ == "__main__":
    main()
