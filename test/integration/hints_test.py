#!/usr/bin/env python3
"""Two of five nodes die: writes go on through stand-ins, and the two have everything when they are back."""

import signal
import threading
import time

from processes import Nodes, TestCase, await_status, fetch, main, status, store


def hints(document):
    return sum(member["hints"] for member in document["members"])


class Hints(TestCase):
    def test_writes_go_on_without_two_of_five_nodes_and_reach_them_later(self):
        keys = [f"k{i}" for i in range(500)]
        with Nodes(self.directory, 5) as nodes:
            await_status(nodes.nodes[0], lambda x: x["settled"])
            dead, live = nodes.nodes[1:3], [nodes.nodes[0], *nodes.nodes[3:]]
            for node in dead:
                node.stop(signal.SIGKILL)
            # Everybody has noticed: what the dead still had under way is not what this is about.
            for node in live:
                await_status(node, lambda x: [m["state"] for m in x["members"]].count("up") == 3)
            answers = [store(live[i % 3].memcache, key, f"value of {key}")
                       for i, key in enumerate(keys)]
            self.assertEqual(set(answers), {"STORED\r\n"})
            held = status(live[0])
            self.assertGreater(hints(held), 0)
            self.assertFalse(held["settled"])
            self.assertTrue(any("hints for n2" in reason for reason in held["waiting_for"]), held)
            for i, node in zip((2, 3), dead):
                nodes.nodes[i - 1] = nodes.start(i, f"--memcache.port={node.memcache}",
                                                 f"--cluster.port={node.cluster}", wait=False)
                node.__exit__()
            for node in nodes.nodes[1:3]:
                node.get_ready()
            await_status(live[0], lambda x: hints(x) == 0 and x["settled"], 20)
            for port in nodes.ports():
                for key in keys:
                    self.assertEqual(fetch(port, key), f"value of {key}")
            # Each replica has what it is to have, by itself.
            total = sum(member["keys"] for member in status(live[0])["members"])
            self.assertEqual(total, 3 * len(keys))

    def test_no_set_fails_while_nodes_are_killed(self):
        with Nodes(self.directory, 5) as nodes:
            await_status(nodes.nodes[0], lambda x: x["settled"])
            live, answers, stop = [nodes.nodes[i].memcache for i in (0, 3, 4)], {}, threading.Event()

            def write(port):
                i = 0
                while not stop.is_set():
                    key = f"{port}-{i}"
                    answers[key] = store(port, key, key)
                    i += 1

            writers = [threading.Thread(target=write, args=(port,)) for port in live]
            for writer in writers:
                writer.start()
            for node in nodes.nodes[1:3]:
                time.sleep(0.5)
                node.stop(signal.SIGKILL)
            time.sleep(1)
            stop.set()
            for writer in writers:
                writer.join()
            failed = {key: answer for key, answer in answers.items() if answer != "STORED\r\n"}
            self.assertEqual(failed, {}, f"of {len(answers)}")
            self.assertGreater(len(answers), 100)


if __name__ == "__main__":
    main()
