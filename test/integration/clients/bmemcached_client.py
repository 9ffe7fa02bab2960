"""Python bmemcached (binary): through the first port, then the second."""

import sys

import bmemcached


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}")


first, second = (bmemcached.Client((f"127.0.0.1:{port}",)) for port in sys.argv[1:])
check("set", first.set("key", "value", 1000), True)
check("get", second.get("key"), "value")
check("add", second.add("key", "other"), False)
check("replace", second.replace("key", {"a": [1, 2]}), True)
check("structure", first.get("key"), {"a": [1, 2]})
check("missing", first.get("missing"), None)
first.set_multi({"a": "1", "b": "2"})
check("get_multi", second.get_multi(["a", "b", "missing"]), {"a": "1", "b": "2"})
_, cas = first.gets("a")
check("cas", second.cas("a", "new", cas), True)
check("cas again", first.cas("a", "newer", cas), False)
first.delete("count")
check("incr makes", first.incr("count", 1, default=41), 41)
check("incr", second.incr("count", 1), 42)
check("decr", first.decr("count", 2), 40)
check("long", first.set("long", "x" * 500_000), True)
check("long back", len(second.get("long")), 500_000)
check("delete", first.delete("key"), True)
check("deleted", second.get("key"), None)
check("flush_all", first.flush_all(), True)
check("flushed", second.get("a"), None)
