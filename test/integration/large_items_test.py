#!/usr/bin/env python3
"""Values far above the usual size, with memcache.max-item-size raised: they come back whole, and a
client of small values beside them goes on.

KAI_TEST_LARGE_MB says how large (default 16)."""

import hashlib
import os
import threading
import time

from memcache import Client, set_command, wait_for_quorums
from processes import Nodes, TestCase, main

SIZE = int(os.environ.get("KAI_TEST_LARGE_MB", "16")) << 20


class LargeItems(TestCase):
    def small_rounds(self, port, over, took):
        with Client(port) as client:
            while not over.is_set():
                began = time.monotonic()
                self.assertEqual(client.ask(set_command(b"small", b"v" * 1024)), b"STORED\r\n")
                self.assertEqual(client.get(b"small"), {b"small": b"v" * 1024})
                took.append(time.monotonic() - began)

    def test_a_large_value_comes_back_whole_and_stalls_nobody(self):
        value = os.urandom(1 << 20) * (SIZE >> 20)
        with Nodes(self.directory, 3, "--memcache.max-item-size=128m") as nodes:
            wait_for_quorums(nodes.ports())
            over, took = threading.Event(), []
            beside = threading.Thread(target=self.small_rounds,
                                      args=(nodes.ports()[1], over, took))
            beside.start()
            try:
                with Client(nodes.ports()[0], 60) as client:
                    for _ in range(3):
                        self.assertEqual(client.ask(set_command(b"large", value)), b"STORED\r\n")
                for port in nodes.ports():
                    with Client(port, 60) as client:
                        found = client.get(b"large")[b"large"]
                        self.assertEqual(hashlib.sha256(found).digest(),
                                         hashlib.sha256(value).digest())
            finally:
                over.set()
                beside.join()
            took.sort()
            print(f"  {len(took)} small rounds beside {SIZE >> 20} MB: "
                  f"p99 {took[len(took) * 99 // 100] * 1000:.0f} ms, "
                  f"longest {took[-1] * 1000:.0f} ms", flush=True)
            self.assertLess(took[-1], 2)


if __name__ == "__main__":
    main()
