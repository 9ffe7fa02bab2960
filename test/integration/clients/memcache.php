<?php
// PHP Memcache: through the first port, then the second.
function check($what, $got, $wanted) {
  if ($got !== $wanted) {
    fwrite(STDERR, "$what: " . var_export($got, true) . "\n");
    exit(1);
  }
}
[$first, $second] = array_map(function ($port) {
  $client = new Memcache();
  $client->addServer("127.0.0.1", (int) $port);
  return $client;
}, array_slice($argv, 1));

check("set", $first->set("key", "value"), true);
check("get", $second->get("key"), "value");
check("add", @$second->add("key", "other"), false);
check("replace", $second->replace("key", ["a" => [1, 2]]), true);
check("structure", $first->get("key"), ["a" => [1, 2]]);
check("missing", $first->get("missing"), false);
foreach (range("a", "z") as $key) $first->set($key, "value of $key");
check("get many", $second->get(range("a", "z"))["y"], "value of y");
$first->set("count", 41);
check("increment", $second->increment("count"), 42);
check("decrement", $first->decrement("count", 2), 40);
check("long", $first->set("long", str_repeat("x", 500000)), true);
check("long back", strlen($second->get("long")), 500000);
check("delete", $first->delete("key"), true);
check("deleted", $second->get("key"), false);
