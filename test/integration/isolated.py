"""Tests that need a machine of their own: networks that can be cut, disks that are small. The script
runs itself once more in fresh network and mount namespaces, which end with it; nothing of the real
machine's is touched."""

import os
import subprocess
import sys

INSIDE = "KAI_TEST_ISOLATED"
UNSHARE = ["unshare", "--net", "--mount"]
AS_USER = ["--user", "--map-root-user"]
# In the mount namespace only: where `ip netns` keeps its names.
PREPARE = "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up"


def works(command):
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def enter():
    """Once, before anything else. Returns inside; outside runs the script there and ends with its
    status, or says loudly what the machine does not allow, and ends with 0."""
    if os.environ.get(INSIDE):
        return
    for namespaces in (UNSHARE, UNSHARE + AS_USER):
        start = [*namespaces, "sh", "-c"]
        if works([*start, f"{PREPARE} && ip netns add probe && ip link add type veth"]):
            again = f'{PREPARE} && exec "$@"'
            os.environ[INSIDE] = "1"
            os.execvp(start[0], [*start, again, "sh", sys.executable, *sys.argv])
    print("LEFT OUT: this machine allows no namespaces of its own (unshare, ip netns): "
          f"{os.path.basename(sys.argv[0])} was NOT run", flush=True)
    sys.exit(0)


def must(command):
    subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL)


class Network:
    """Hosts, each in a network namespace: on one of two switches to each other, which a cable
    connects, and directly to the test. Host i is 10.0.0.i to the others, 10.0.i.2 to the test."""

    def __init__(self, sides):
        self.hosts = []
        for side in ("left", "right"):
            must(f"ip link add {side} type bridge")
            must(f"ip link set {side} up")
        must("ip link add cable-l type veth peer name cable-r")
        must("ip link set cable-l master left up")
        must("ip link set cable-r master right up")
        for side, numbers in sides.items():
            for i in numbers:
                self.add(i, side)

    def add(self, i, side):
        must(f"ip netns add h{i}")
        inside = f"ip -n h{i}"
        must(f"ip link add p{i} type veth peer name nodes netns h{i}")
        must(f"ip link set p{i} master {side} up")
        must(f"ip link add t{i} type veth peer name test netns h{i}")
        must(f"ip addr add 10.0.{i}.1/24 dev t{i}")
        must(f"ip link set t{i} up")
        must(f"{inside} addr add 10.0.0.{i}/24 dev nodes")
        must(f"{inside} addr add 10.0.{i}.2/24 dev test")
        for device in ("lo", "nodes", "test"):
            must(f"{inside} link set {device} up")

    def cut(self):
        """Packets between the sides are lost without a word."""
        must("ip link set cable-l down")

    def heal(self):
        must("ip link set cable-l up")

    def unplug(self, i):
        """Host i from the other hosts, without a word to it or to them."""
        must(f"ip link set p{i} nomaster")


def small_disk(path, size):
    """A file system of so many bytes ("16m") at an existing directory."""
    must(f"mount -t tmpfs -o size={size} none {path}")


def remove_disk(path):
    must(f"umount -l {path}")
