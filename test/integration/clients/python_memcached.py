"""python-memcached: through the first port, then the second."""

import sys

import memcache


def check(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: {got!r}")


first, second = (memcache.Client([f"127.0.0.1:{port}"], cache_cas=True) for port in sys.argv[1:])
check("set", first.set("key", "value", 1000), True)
check("get", second.get("key"), "value")
check("add", bool(second.add("key", "other")), False)
check("replace", bool(second.replace("key", {"a": [1, 2]})), True)
check("structure", first.get("key"), {"a": [1, 2]})
check("missing", first.get("missing"), None)
check("set_multi", first.set_multi({"a": "1", "b": "2"}), [])
check("get_multi", second.get_multi(["a", "b", "missing"]), {"a": "1", "b": "2"})
first.gets("a")
check("cas", bool(first.cas("a", "new")), True)
second.gets("a")
first.set("a", "newer")
check("cas too late", bool(second.cas("a", "newest")), False)
first.set("count", 41)
check("incr", second.incr("count"), 42)
check("decr", first.decr("count", 2), 40)
check("touch", bool(second.touch("count", 100)), True)
check("long", first.set("long", "x" * 500_000), True)
check("long back", len(second.get("long")), 500_000)
check("delete", bool(first.delete("key")), True)
check("deleted", second.get("key"), None)
