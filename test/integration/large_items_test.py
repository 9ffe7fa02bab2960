#!/usr/bin/env python3
"""Values far above the usual size, with memcache.max-item-size raised: they come back whole, and a
client of small values beside them goes on.

KAI_TEST_LARGE_MB says how large (default 16), KAI_TEST_LARGE_ROUNDS how often each is stored and
read on every node (default 1), KAI_TEST_LARGE_ENGINE with which engine (default memory)."""

import hashlib
import multiprocessing
import os
import time

from memcache import Client, set_command, wait_for_quorums
from processes import Nodes, TestCase, main

SIZE = int(os.environ.get("KAI_TEST_LARGE_MB", "16")) << 20
ROUNDS = int(os.environ.get("KAI_TEST_LARGE_ROUNDS", "1"))
ENGINE = os.environ.get("KAI_TEST_LARGE_ENGINE", "memory")
SMALL = b"v" * 1024


def small_rounds(port, over, pipe):
    """A process of its own, so that the large client does not stall it: sets and gets until it is
    over, and says how long each round took."""
    took = []
    with Client(port) as client:
        while not over.is_set():
            began = time.monotonic()
            answers = client.ask(set_command(b"small", SMALL)), client.get(b"small")
            took.append(time.monotonic() - began)
            if answers != (b"STORED\r\n", {b"small": SMALL}):
                took = repr(answers)[:200]
                break
    pipe.send(took)


class LargeItems(TestCase):
    def beside(self, port, what):
        """Does `what` while a small client is at work; the sorted times of that client's rounds."""
        over, (mine, theirs) = multiprocessing.Event(), multiprocessing.Pipe()
        small = multiprocessing.Process(target=small_rounds, args=(port, over, theirs))
        small.start()
        theirs.close()
        try:
            what()
        finally:
            over.set()
            took = mine.recv()
            small.join()
        self.assertIsInstance(took, list, took)
        return sorted(took)

    def report(self, name, took):
        print(f"  {len(took)} rounds of set and get of 1 KB {name}: "
              f"p99 {took[len(took) * 99 // 100] * 1000:.1f} ms, "
              f"longest {took[-1] * 1000:.0f} ms", flush=True)

    def test_a_large_value_comes_back_whole_and_stalls_nobody(self):
        value = os.urandom(1 << 20) * (SIZE >> 20)
        digest, command = hashlib.sha256(value).digest(), set_command(b"large", value)

        def store_and_fetch():
            for _ in range(ROUNDS):
                for port in nodes.ports():
                    with Client(port, 60) as client:
                        self.assertEqual(client.ask(command), b"STORED\r\n")
                for port in nodes.ports():
                    with Client(port, 60) as client:
                        found = client.get(b"large")[b"large"]
                        self.assertEqual(hashlib.sha256(found).digest(), digest)

        with Nodes(self.directory, 3, "--memcache.max-item-size=128m",
                   f"--storage.engine={ENGINE}") as nodes:
            wait_for_quorums(nodes.ports())
            port = nodes.ports()[1]
            self.report("alone", self.beside(port, lambda: time.sleep(1)))
            took = self.beside(port, store_and_fetch)
            self.report(f"beside {SIZE >> 20} MB", took)
            self.assertLess(took[-1], 2)


if __name__ == "__main__":
    main()
