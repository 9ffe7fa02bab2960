#!/usr/bin/env python3
"""memccapable's checks of the text and the binary protocol, against one node and against a cluster."""

import shutil
import subprocess
import unittest

from memcache import wait_for_quorums
from processes import Node, Nodes, Process, TestCase, main

MEMCCAPABLE = shutil.which("memccapable")


@unittest.skipUnless(MEMCCAPABLE, "memccapable (libmemcached-tools) is not installed")
class Capable(TestCase):
    def check(self, port):
        result = subprocess.run([MEMCCAPABLE, "-h", "127.0.0.1", "-p", str(port)],
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("All tests passed", result.stdout)

    def test_one_node_is_capable(self):
        with Node("unused", "--storage.engine=memory") as node:
            self.check(node.memcache)

    def test_every_node_of_five_processes_is_capable(self):
        with Nodes(self.directory, 5) as nodes:
            wait_for_quorums(nodes.ports())
            for port in nodes.ports():
                self.check(port)

    def test_five_nodes_in_one_process_are_capable(self):
        with Process("kai-cluster", "--nodes=5", "-p", "0", "-c", "0") as cluster:
            ports = [cluster.ready()[1] for _ in range(5)]
            self.assertEqual(cluster.line(), "kai-cluster ready nodes=5\n")
            wait_for_quorums(ports)
            self.check(ports[1])
            self.assertEqual(cluster.stop()[0], 0, cluster.errors())


if __name__ == "__main__":
    main()
