"""Clients that write and read through all nodes while these fail, and judge every answer.

Each key has one writer, which gives it the versions 1, 2, 3, ... So at any moment it is known which
values a read may return: none older than the last that was acknowledged before the read was sent,
none newer than the last that was sent before the read was answered."""

import random
import threading
import time

from memcache import Client, set_command

# What a request may take (interface: 2 s), and room for a machine that does other things too.
ANSWER_MAX = 3
THINK = 0.004
# What clients of live nodes may notice: the share of requests that fail, and seconds without a
# success.
FAILED_MAX = 0.001
GAP_MAX = 1.0


class Key:
    def __init__(self, name, home):
        self.name, self.home = name, home
        self.acknowledged = self.sent = 0
        # After a write whose outcome is unknown the writer waits until it is over, or for good where
        # it was sent to a node that may go on with it at any time.
        self.quiet_until = 0

    def value(self, version):
        return b"%s=%d=" % (self.name, version) + b"." * 100


def version_in(key, value):
    """The version that a value is of; None: it is no value of that key."""
    parts = value.split(b"=")
    if len(parts) != 3 or parts[0] != key.name or not parts[1].isdigit():
        return None
    return int(parts[1]) if value == key.value(int(parts[1])) else None


class Target:
    """A node as its clients see it. `live` until the test says that it is being harmed."""

    def __init__(self, index, host, port):
        self.index, self.host, self.port = index, host, port
        self.live = True
        self.harms = 0
        self.since = time.monotonic()
        self.requests = 0
        # (operation, key, time, text) of what failed at it while it was live.
        self.failures = []
        self.gap = 0

    def succeeded(self):
        now = time.monotonic()
        if self.live:
            self.gap = max(self.gap, now - self.since)
            self.since = now


class Load:
    """`clients` per node, from `with` to its end. `port_of(i)` of node i may change when it is
    started again."""

    def __init__(self, ports, clients=3, keys_each=6, hosts=None, may_be_stale=None):
        hosts = hosts or ["127.0.0.1"] * len(ports)
        self.targets = [Target(i, hosts[i], port) for i, port in enumerate(ports)]
        # Of a key and the reading node: during a cut one side does not see the other's writes.
        self.may_be_stale = may_be_stale or (lambda key, target: False)
        self.keys = []
        self.wrong = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.workers = []
        for target in self.targets:
            for i in range(clients):
                own = [Key(b"t%d-c%d-k%d" % (target.index, i, j), target.index)
                       for j in range(keys_each)]
                self.keys += own
                self.workers.append(threading.Thread(target=self.work, args=(target, own)))

    def __enter__(self):
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for worker in self.workers:
            worker.join()

    # --- what the test does to nodes

    def harm(self, index):
        """Before the node is killed or stopped: what fails at it from now on is no failure."""
        self.targets[index].live = False
        self.targets[index].harms += 1

    def spare(self, index, port=None):
        """The node serves again."""
        target = self.targets[index]
        target.port = port or target.port
        target.since = time.monotonic()
        target.live = True

    # --- clients

    def work(self, target, own):
        dice = random.Random(own[0].name)
        client, of = None, None
        while not self.stopping.is_set():
            time.sleep(THINK)
            if not target.live:
                if client:
                    client.__exit__()
                client = None
                continue
            harms = target.harms
            try:
                if not client or of != target.port:
                    client, of = Client(target.port, ANSWER_MAX, target.host), target.port
                key = dice.choice(own)
                if dice.random() < 0.5 and time.monotonic() > key.quiet_until:
                    self.write(client, target, key)
                else:
                    self.read(client, target, dice.choice(self.keys))
            except OSError as error:
                client = None
                # What was under way when the node was harmed is no failure of a live one.
                if harms == target.harms:
                    self.failed(target, "connection", None, f"{type(error).__name__}: {error}")
        if client:
            client.__exit__()

    def failed(self, target, operation, key, text):
        if target.live:
            with self.lock:
                target.failures.append((operation, key, time.monotonic(), text))

    def write(self, client, target, key):
        key.sent += 1
        version = key.sent
        target.requests += 1
        # Until it is answered.
        key.quiet_until = float("inf")
        answer = client.ask(set_command(key.name, key.value(version)))
        if answer == b"STORED\r\n":
            key.acknowledged, key.quiet_until = version, 0
            target.succeeded()
        else:
            key.quiet_until = time.monotonic() + ANSWER_MAX
            self.failed(target, "set", key, answer.decode().strip())

    def read(self, client, target, key):
        least = key.acknowledged
        target.requests += 1
        client.send(b"get " + key.name + b"\r\n")
        line = client.line()
        if line.startswith(b"SERVER_ERROR"):
            self.failed(target, "get", key, line.decode().strip())
            return
        found = None
        while line != b"END\r\n":
            found = client.exactly(int(line.split()[3]) + 2)[:-2]
            line = client.line()
        target.succeeded()
        self.judge(key, found, least, target)

    def judge(self, key, found, least, target):
        most = key.sent
        version = 0 if found is None else version_in(key, found)
        if version is not None and version <= most and (
                version >= least or self.may_be_stale(key, target)):
            return
        with self.lock:
            self.wrong.append(f"{key.name.decode()} through node {target.index + 1}: {found!r:.60}, "
                              f"not a version from {least} to {most}")

    # --- the end

    def check_all(self):
        """When the load has ended and the cluster is settled: each key through each live node. All
        must say the same, and nothing that was acknowledged may be missing."""
        said = {}
        for target in (x for x in self.targets if x.live):
            with Client(target.port, 10, target.host) as client:
                for key in self.keys:
                    found = client.get(key.name).get(key.name)
                    self.judge(key, found, key.acknowledged, target)
                    if said.setdefault(key, found) != found:
                        self.wrong.append(f"{key.name.decode()}: nodes disagree")

    def judgement(self, excused=lambda target, key: False):
        """What was promised and not kept, one line each; empty: all is well. `excused`: reads that
        could not have a quorum."""
        bad = list(self.wrong)
        failures = [(f"n{x.index + 1}", operation, text) for x in self.targets
                    for operation, key, _, text in x.failures
                    if operation != "get" or not excused(x, key)]
        requests = sum(x.requests for x in self.targets)
        if len(failures) >= requests * FAILED_MAX:
            bad.append(f"{len(failures)} of {requests} requests failed: {failures[:5]}")
        for x in self.targets:
            if x.gap >= GAP_MAX:
                bad.append(f"n{x.index + 1}: {x.gap:.3f} s without a success")
            if x.requests < 100:
                bad.append(f"n{x.index + 1}: hardly any request")
        return bad

    def report(self):
        return "; ".join(
            f"n{x.index + 1}: {x.requests} requests, {len(x.failures)} failed, "
            f"longest without success {x.gap * 1000:.0f} ms" for x in self.targets)
