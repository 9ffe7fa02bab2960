"""Python pymemcache: through the first port, then the second."""

import sys

from pymemcache.client.base import Client


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}")


first, second = (Client(("127.0.0.1", int(port)), default_noreply=False) for port in sys.argv[1:])
check("set", first.set("key", "value", expire=1000), True)
check("get", second.get("key"), b"value")
check("add", second.add("key", "other"), False)
check("replace", second.replace("key", "new"), True)
check("missing", first.get("missing"), None)
check("set_many", first.set_many({"a": "1", "b": "2"}), [])
check("get_many", second.get_many(["a", "b", "missing"]), {"a": b"1", "b": b"2"})
value, cas = first.gets("key")
check("cas", second.cas("key", "newer", cas), True)
check("cas again", first.cas("key", "newest", cas), False)
check("append", first.append("key", "!"), True)
check("prepend", second.prepend("key", ">"), True)
check("joined", first.get("key"), b">newer!")
first.set("count", "41")
check("incr", second.incr("count", 1), 42)
check("decr", first.decr("count", 2), 40)
check("touch", second.touch("count", 100), True)
check("long", first.set("long", "x" * 500_000), True)
check("long back", len(second.get("long")), 500_000)
check("delete", first.delete("key"), True)
check("deleted", second.get("key"), None)
check("version", first.version(), b"1.6.18")
check("stats", first.stats()[b"version"], b"1.6.18")
check("flush_all", first.flush_all(), True)
check("flushed", second.get("a"), None)
