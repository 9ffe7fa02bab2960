#!/usr/bin/env python3
"""The cases in which Riak's tests found lost and resurrected data, told for kai. The names in the
test names are those of riak_test. Corrupted files (verify_corruption_filtering) are in
comeback_test.py, mixed versions in mixed_versions_test.cpp."""

import os
import random
import shutil
import signal
import threading
import time

from memcache import Client, check_all, set_command, store_all
from processes import (Nodes, TestCase, admin, await_status, locate, main, member, status,
                       wait_equal, wait_settled)


RATE = float(os.environ.get("KAI_TEST_RATE", "10"))


def value_of(key):
    return key * 20


def changed(key):
    return b"changed " + key


def names(prefix, count):
    return [b"%s-%d" % (prefix, i) for i in range(count)]


class Cases(TestCase):
    def cluster(self, count, *arguments):
        nodes = Nodes(self.directory, count, *arguments)
        self.addCleanup(nodes.__exit__)
        wait_settled(nodes.nodes[0])
        return nodes

    def ask(self, node, command):
        with Client(node.memcache) as client:
            return client.ask(command)

    def store(self, node, key, value):
        self.assertEqual(self.ask(node, set_command(key, value)), b"STORED\r\n")

    def store_soon(self, node, key, value):
        """Stand-ins take a write when another node has confirmed that the replicas are down."""
        deadline = time.monotonic() + 1
        while True:
            answer = self.ask(node, set_command(key, value))
            if answer == b"STORED\r\n":
                return
            self.assertIn(b"nothing was changed", answer)
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def check_everywhere(self, nodes, key, value):
        for port in nodes.ports():
            with Client(port) as client:
                self.assertEqual(client.get(key), {} if value is None else {key: value})

    def check_same(self, nodes, *keys):
        """All replicas hold the same, which is something."""
        for key in keys:
            found = locate(nodes.nodes[0], key.decode())
            versions = {x["version"] for x in found.values()}
            self.assertEqual(len(versions), 1, found)
            self.assertNotIn(None, versions)

    def number_of(self, nodes, key, place):
        """The node at a place of the key's replicas; 0 leads."""
        return int(list(locate(nodes.nodes[0], key))[place][1:])

    def wiped_again(self, nodes, number):
        nodes.kill(number)
        nodes.wipe(number)
        nodes.again(number)

    # --- kv679: data lost after a replica lost its disk

    def test_kv679_dataloss_a_write_led_by_a_wiped_replica_is_not_covered_by_what_it_led_before(self):
        nodes, key = self.cluster(3), b"kv679"
        leader = self.number_of(nodes, "kv679", 0)
        through = nodes.nodes[leader % 3]
        for i in range(20):
            self.store(through, key, b"before %d" % i)
        self.wiped_again(nodes, leader)
        self.store(nodes.nodes[leader - 1], key, b"after")
        self.check_everywhere(nodes, key, b"after")
        wait_equal(through)
        self.check_everywhere(nodes, key, b"after")
        self.check_same(nodes, key)

    def test_kv679_tombstone_a_key_made_again_after_its_delete_mark_went_with_a_disk_stays(self):
        nodes, key = self.cluster(3), b"kv679"
        leader = self.number_of(nodes, "kv679", 0)
        through = nodes.nodes[leader % 3]
        for i in range(5):
            self.store(through, key, b"before %d" % i)
        self.assertEqual(self.ask(through, b"delete kv679\r\n"), b"DELETED\r\n")
        self.wiped_again(nodes, leader)
        self.store(nodes.nodes[leader - 1], key, b"made again")
        self.check_everywhere(nodes, key, b"made again")
        wait_equal(through)
        self.check_everywhere(nodes, key, b"made again")
        # And the other way: a delete by who forgot everything is not undone by what others had.
        self.wiped_again(nodes, leader)
        self.assertEqual(self.ask(nodes.nodes[leader - 1], b"delete kv679\r\n"), b"DELETED\r\n")
        wait_equal(through)
        self.check_everywhere(nodes, key, None)

    def test_kv679_dataloss_fb_writes_led_by_a_stand_in_that_is_wiped_in_between_are_kept(self):
        nodes, key = self.cluster(5), "kv679"
        replicas = [int(name[1:]) for name in locate(nodes.nodes[0], key)]
        others = [i for i in (1, 2, 3, 4, 5) if i not in replicas]
        first, second = (nodes.nodes[i - 1] for i in others)
        self.store(first, b"kv679", b"old")
        wait_settled(first)
        # All three replicas are away: stand-ins lead, and keep what they are given.
        nodes.kill(*replicas)
        await_status(first, lambda x: sum(m["state"] == "down" for m in x["members"]) == 3)
        self.store_soon(second, b"kv679", b"while away")
        self.store_soon(first, b"kv679", b"last")
        # One of the two that have it loses its disk: W-1 of the copies.
        nodes.kill(others[0])
        nodes.wipe(others[0])
        # It takes its place when a majority is there to vote on it.
        back = [others[0], *replicas]
        for number in back:
            nodes.again(number, wait=False)
        for number in back:
            nodes.nodes[number - 1].get_ready()
        wait_equal(nodes.nodes[others[1] - 1])
        self.check_everywhere(nodes, b"kv679", b"last")
        self.check_same(nodes, b"kv679")

    # --- siblings

    def test_sibling_explosion_many_writers_of_one_key_leave_few_versions(self):
        nodes = self.cluster(5, "--cluster.conflicts=siblings")
        most, wrong = [0], []

        def write(port, who):
            with Client(port) as client:
                for i in range(60):
                    if (answer := client.ask(set_command(b"hot", b"%d-%d" % (who, i)))) != \
                            b"STORED\r\n":
                        wrong.append(answer)
                    client.send(b"get hot\r\n")
                    blocks = 0
                    while (line := client.line()) != b"END\r\n":
                        if not line.startswith(b"VALUE "):
                            wrong.append(line)
                            break
                        client.exactly(int(line.split()[3]) + 2)
                        blocks += 1
                    most[0] = max(most[0], blocks)

        writers = [threading.Thread(target=write, args=(port, i))
                   for i, port in enumerate(nodes.ports() * 4)]
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        # A leader that dies in the middle: the next one leads.
        leader = self.number_of(nodes, "hot", 0)
        nodes.nodes[leader - 1].child.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        nodes.nodes[leader - 1].child.send_signal(signal.SIGCONT)
        for writer in writers:
            writer.join()
        print(f"  at most {most[0]} versions", flush=True)
        self.assertLessEqual(most[0], 5)
        wait_equal(nodes.nodes[leader % 5])
        self.store(nodes.nodes[leader % 5], b"hot", b"one")
        self.check_everywhere(nodes, b"hot", b"one")
        self.assertEqual([x for x in wrong if not x.startswith(b"SERVER_ERROR")], [])

    # --- repair and anti-entropy, without a client's read

    def lose_database(self, nodes, number):
        """One database of several, as a disk that went: half of the partitions."""
        nodes.nodes[number - 1].stop()
        databases = sorted(nodes.disk(number).glob("vnode-?"))
        shutil.rmtree(databases[0])
        return len(databases)

    def check_counts(self, nodes, count):
        self.assertEqual({x["keys"] for x in status(nodes.nodes[0])["members"]}, {count})

    def test_partition_repair_and_single_partition_loss_a_vanished_database_is_refilled(self):
        nodes, keys = self.cluster(3), names(b"repair", 2000)
        store_all(nodes.ports(), keys, value_of)
        wait_equal(nodes.nodes[0])
        self.lose_database(nodes, 2)
        nodes.again(2)
        wait_settled(nodes.nodes[0])
        self.check_counts(nodes, len(keys))
        self.check_same(nodes, *keys[:5])
        nodes.kill(3)
        check_all([nodes.nodes[1].memcache], keys, value_of)

    def test_aae_less_than_n_writes_and_less_than_n_mods_are_made_up_for(self):
        nodes = self.cluster(3)
        keys, fresh = names(b"mods", 1000), names(b"writes", 1000)
        store_all(nodes.ports(), keys, value_of)
        wait_equal(nodes.nodes[0])
        nodes.kill(2)
        live = [nodes.nodes[i].memcache for i in (0, 2)]
        store_all(live, fresh, value_of)
        store_all(live, keys[:300], changed)
        nodes.again(2)
        wait_settled(nodes.nodes[0])
        self.check_counts(nodes, 2000)
        self.check_same(nodes, keys[0], keys[-1], fresh[0], fresh[-1])
        nodes.kill(1)
        mine = [nodes.nodes[1].memcache]
        check_all(mine, fresh + keys[300:], value_of)
        check_all(mine, keys[:300], changed)

    def test_aae_ttl_an_expiry_is_the_same_at_a_replica_that_missed_it(self):
        nodes, keys = self.cluster(3), names(b"ttl", 100)
        nodes.kill(2)
        with Client(nodes.nodes[0].memcache) as client:
            for key in keys:
                command = set_command(key, key).replace(b" 0 0 ", b" 0 9 ")
                self.assertEqual(client.ask(command), b"STORED\r\n")
        end = time.monotonic() + 9
        nodes.again(2)
        wait_settled(nodes.nodes[0])
        self.check_same(nodes, *keys[:3])
        nodes.kill(3)
        check_all([nodes.nodes[1].memcache], keys, lambda key: key)
        nodes.again(3)
        time.sleep(max(0, end + 0.2 - time.monotonic()))
        for port in nodes.ports():
            with Client(port) as client:
                self.assertEqual(client.get(*keys), {})
        wait_settled(nodes.nodes[0])
        for port in nodes.ports():
            with Client(port) as client:
                self.assertEqual(client.get(*keys), {})

    # --- hints

    def test_hinted_handoff_hints_are_delivered_after_their_holders_restarted(self):
        nodes, keys = self.cluster(5), names(b"hint", 400)
        nodes.kill(2)
        await_status(nodes.nodes[0], lambda x: member(x, "n2")["state"] == "down")
        store_all([nodes.nodes[i].memcache for i in (0, 2, 3, 4)], keys, value_of)
        held = {x["name"]: x["hints"] for x in status(nodes.nodes[0])["members"]}
        self.assertGreater(sum(held.values()), 100)
        holders = [1, 3, 4, 5]
        # All at once, and killed: with storage.sync=interval what is older than 100 ms is on disk.
        time.sleep(0.3)
        nodes.kill(*holders)
        for number in holders:
            nodes.again(number, wait=False)
        for number in holders:
            nodes.nodes[number - 1].get_ready()
        seen = await_status(nodes.nodes[0], lambda x: "hints for n2" in " ".join(x["waiting_for"]))
        self.assertEqual(sum(x["hints"] for x in seen["members"]), sum(held.values()))
        nodes.again(2)
        wait_settled(nodes.nodes[0])
        replayed = 0
        for number in holders:
            with Client(nodes.nodes[number - 1].memcache) as client:
                stats = client.stats()
                self.assertEqual(stats["kai_hints_held"], "0")
                replayed += int(stats["kai_hints_replayed"])
        self.assertGreater(replayed, 0)
        check_all(nodes.ports(), keys, value_of)
        self.check_same(nodes, *keys[:5])

    # --- overload

    def test_overload_a_cluster_that_is_asked_for_too_much_says_so_and_recovers(self):
        nodes = self.cluster(3)
        value, clients, counts = b"v" * 200_000, [], {}
        # A stopped replica answers nothing: calls to it pile up until it is seen as down.
        nodes.nodes[2].child.send_signal(signal.SIGSTOP)
        lock = threading.Lock()

        def flood(port, who):
            with Client(port, 60) as client:
                commands = b"".join(set_command(b"flood-%d-%d" % (who, i), value)
                                    for i in range(60))
                sender = threading.Thread(target=client.send, args=(commands,))
                sender.start()
                for _ in range(60):
                    line = client.line()
                    with lock:
                        counts[line] = counts.get(line, 0) + 1
                sender.join()

        for who in range(20):
            clients.append(threading.Thread(target=flood, args=(nodes.ports()[who % 2], who)))
            clients[-1].start()
        for client in clients:
            client.join()
        print(f"  {counts}", flush=True)
        self.assertEqual(sum(counts.values()), 1200)
        for line in counts:
            self.assertTrue(line == b"STORED\r\n" or line.startswith(b"SERVER_ERROR"), line)
        nodes.nodes[2].child.send_signal(signal.SIGCONT)
        wait_equal(nodes.nodes[0])
        begin = time.monotonic()
        keys = names(b"after", 200)
        store_all(nodes.ports(), keys, value_of)
        check_all(nodes.ports(), keys, value_of)
        self.assertLess(time.monotonic() - begin, 2)
        for node in nodes.nodes:
            with open(f"/proc/{node.child.pid}/status") as text:
                peak = int(next(x for x in text if x.startswith("VmHWM")).split()[1])
            self.assertLess(peak, 1_000_000, node.name)

    def test_the_clients_of_riak_kv_1754_lose_nothing_while_two_nodes_come_and_two_go(self):
        """Forty clients append to ten values, and read them, while the cluster grows to seven nodes
        and shrinks to five. KAI_TEST_RATE: requests per second of each client."""
        nodes = self.cluster(5)
        live = list(nodes.nodes)
        keys = names(b"1754", 10)
        for key in keys:
            self.store(nodes.nodes[0], key, b"")
        appenders = Appenders(keys, 40, RATE, lambda: [x.memcache for x in live])
        with appenders:
            appenders.go_on()
            for number in (6, 7):
                nodes.nodes.append(nodes.start(number, "-j", f"127.0.0.1:{live[0].cluster}"))
                live.append(nodes.nodes[-1])
            wait_settled(live[0])
            appenders.go_on()
            leaver = live.pop(2)
            self.assertIsNotNone(admin(live[0], "leave", leaver.name))
            self.assertEqual(leaver.child.wait(10), 0)
            appenders.go_on()
            dead = live.pop(2)
            dead.stop(signal.SIGKILL)
            self.assertIsNotNone(admin(live[0], "remove", dead.name))
            wait_settled(live[0])
            appenders.go_on()
        for node in live:
            appenders.check(node.memcache)
        print(f"  {appenders.report()}", flush=True)
        self.assertEqual(appenders.wrong, [])
        self.assertLess(len(appenders.failed), max(5, appenders.requests // 100), appenders.failed[:5])


class Appenders:
    """Clients that append words of their own to shared values, and read these: what was acknowledged
    before a read began is in it, once, and a value is never missing."""

    def __init__(self, keys, count, rate, ports):
        self.keys, self.rate, self.ports = keys, rate, ports
        self.acknowledged = {key: set() for key in keys}
        self.wrong, self.failed, self.requests = [], [], 0
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.workers = [threading.Thread(target=self.work, args=(i,)) for i in range(count)]

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for worker in self.workers:
            worker.join()

    def go_on(self):
        """Until every client has asked a few times more."""
        time.sleep(max(1.5, 3 / self.rate))

    def work(self, index):
        dice = random.Random(index)
        self.ended.wait(dice.random() / self.rate)
        port, client, number = None, None, 0
        while not self.ended.is_set():
            number += 1
            try:
                if client is None or port not in self.ports():
                    port = dice.choice(self.ports())
                    client = Client(port, 3)
                key = dice.choice(self.keys)
                if dice.random() < 0.5:
                    self.append(client, key, b"%d.%d " % (index, number))
                else:
                    self.read(client, key)
            except OSError as error:
                # Its node has gone, and so the client goes to another one; one on a live node does not
                # lose its connection.
                client = None
                if port in self.ports():
                    self.failed.append(str(error))
            self.ended.wait(1 / self.rate)

    def append(self, client, key, word):
        self.requests += 1
        answer = client.ask(b"append %s 0 0 %d\r\n%s\r\n" % (key, len(word), word))
        if answer == b"STORED\r\n":
            with self.lock:
                self.acknowledged[key].add(word)
        elif answer.startswith(b"SERVER_ERROR"):
            self.failed.append(answer)
        else:
            # NOT_STORED: that the key is missing, which it is not.
            self.wrong.append((key, answer))

    def read(self, client, key):
        self.requests += 1
        with self.lock:
            known = set(self.acknowledged[key])
        client.send(b"get " + key + b"\r\n")
        line = client.line()
        if line.startswith(b"SERVER_ERROR"):
            self.failed.append(line)
            return
        if line == b"END\r\n":
            self.wrong.append((key, "a miss"))
            return
        words = client.exactly(int(line.split()[3]) + 2)[:-2].split()
        client.line()
        self.judge(key, [x + b" " for x in words], known)

    def judge(self, key, words, known):
        if missing := known - set(words):
            self.wrong.append((key, "lost or stale", sorted(missing)[:5]))
        if len(words) != len(set(words)):
            self.wrong.append((key, "twice", [x for x in words if words.count(x) > 1][:5]))

    def check(self, port):
        with Client(port) as client:
            for key in self.keys:
                self.read(client, key)

    def report(self):
        return (f"{self.requests} requests, {len(self.failed)} failed, "
                f"{sum(len(x) for x in self.acknowledged.values())} words appended")


if __name__ == "__main__":
    main()
