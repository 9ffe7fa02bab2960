#!/usr/bin/env python3
"""Replicas in distinct zones: a whole zone dies while clients write and read through all nodes."""

import signal
import time

from load import Load
from memcache import check_all, store_all
from processes import Nodes, TestCase, admin, main, run_admin, status, wait_settled

ZONES = 3
# Until the others have noticed.
NOTICED_WITHIN = 1


class Zones(TestCase):
    def cluster(self, count):
        nodes = Nodes(self.directory, 1, "--node.zone=z1")
        self.addCleanup(nodes.__exit__)
        nodes.arguments = ()
        for i in range(2, count + 1):
            nodes.nodes.append(nodes.start(i, f"--node.zone=z{(i - 1) % ZONES + 1}", "-j",
                                           f"127.0.0.1:{nodes.nodes[0].cluster}"))
        wait_settled(nodes.nodes[0])
        return nodes

    def test_a_whole_zone_dies_under_load_and_nothing_is_lost(self):
        nodes = self.cluster(2 * ZONES)
        zone_of = {m["name"]: m["zone"] for m in status(nodes.nodes[0])["members"]}
        for x in admin(nodes.nodes[0], "ring")["partitions"]:
            self.assertEqual(len({zone_of[name] for name in x["replicas"]}), ZONES, x)
        keys = [b"k%d" % i for i in range(1000)]
        store_all(nodes.ports(), keys, lambda key: key)
        dead = [i for i, node in enumerate(nodes.nodes) if zone_of[node.name] == "z2"]
        self.assertEqual(len(dead), 2)
        with Load(nodes.ports()) as load:
            time.sleep(2)
            for i in dead:
                load.harm(i)
            # Both at once.
            for i in dead:
                nodes.nodes[i].child.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            time.sleep(6)
        live = [x for i, x in enumerate(nodes.ports()) if i not in dead]
        check_all(live, keys, lambda key: key)
        load.check_all()
        print(f"  {load.report()}", flush=True)
        self.assertEqual(load.wrong, [])
        for x in load.targets:
            if x.index in dead:
                continue
            late = [y for y in x.failures if y[2] > killed + NOTICED_WITHIN]
            self.assertEqual(late, [])
            self.assertLess(x.gap, NOTICED_WITHIN)
            self.assertGreater(x.requests, 1000)
        # What clients were told in the first second: few, and nothing but that it failed.
        early = [y for x in load.targets for y in x.failures]
        self.assertLess(len(early), 50, early[:5])
        store_all(live, keys, lambda key: key + b"2")
        check_all(live, keys, lambda key: key + b"2")

    def test_too_few_zones_are_said_before_and_after(self):
        nodes = self.cluster(ZONES + 1)
        first = nodes.nodes[0]
        plan = admin(first, "plan", "leave", "n2")
        self.assertEqual(plan["warnings"], ["the replicas of 256 partitions share a zone: there are "
                                            "2 zones for 3 replicas"])
        said = run_admin(first, "plan", "leave", "n2").stdout
        self.assertIn("warning: the replicas of 256 partitions share a zone", said)
        self.assertEqual(status(first)["warning"], "")
        self.assertEqual(run_admin(first, "leave", "n2").returncode, 0)
        wait_settled(first)
        self.assertIn("share a zone", status(first)["warning"])
        self.assertIn("share a zone", admin(first, "ring")["warning"])
        plan = admin(first, "plan", "leave", "n3")
        self.assertIn("there would be 2 members for 3 replicas", plan["warnings"])


if __name__ == "__main__":
    main()
