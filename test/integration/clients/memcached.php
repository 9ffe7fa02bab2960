<?php
// PHP Memcached in text and binary: through the first port, then the second.
function check($what, $got, $wanted) {
  if ($got !== $wanted) {
    fwrite(STDERR, "$what: " . var_export($got, true) . "\n");
    exit(1);
  }
}
foreach ([false, true] as $binary) {
  [$first, $second] = array_map(function ($port) use ($binary) {
    $client = new Memcached();
    $client->setOption(Memcached::OPT_BINARY_PROTOCOL, $binary);
    $client->addServer("127.0.0.1", (int) $port);
    return $client;
  }, array_slice($argv, 1));
  $first->delete("key");
  check("set", $first->set("key", "value", 1000), true);
  check("get", $second->get("key"), "value");
  check("add", $second->add("key", "other"), false);
  check("replace", $second->replace("key", ["a" => [1, 2]]), true);
  check("structure", $first->get("key"), ["a" => [1, 2]]);
  check("missing", $first->get("missing"), false);
  check("not found", $first->getResultCode(), Memcached::RES_NOTFOUND);
  check("set many", $first->setMulti(["a" => "1", "b" => "2"]), true);
  check("get many", $second->getMulti(["a", "b", "missing"]), ["a" => "1", "b" => "2"]);
  $with_cas = $first->get("a", null, Memcached::GET_EXTENDED);
  check("cas", $second->cas($with_cas["cas"], "a", "new"), true);
  check("cas again", $first->cas($with_cas["cas"], "a", "newer"), false);
  $first->setOption(Memcached::OPT_COMPRESSION, false);
  $first->set("text", "b");
  check("append", $first->append("text", "c"), true);
  check("prepend", $first->prepend("text", "a"), true);
  check("joined", $second->get("text"), "abc");
  $first->set("count", 41);
  check("increment", $second->increment("count"), 42);
  check("decrement", $first->decrement("count", 2), 40);
  if ($binary) {
    $first->delete("new");
    check("initial", $second->increment("new", 1, 17), 17);
  }
  check("touch", $second->touch("count", 100), true);
  check("long", $first->set("long", str_repeat("x", 500000)), true);
  check("long back", strlen($second->get("long")), 500000);
  check("delete", $first->delete("key"), true);
  check("deleted", $second->get("key"), false);
}
