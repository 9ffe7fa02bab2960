// Java spymemcached in text and binary: through the first port, then the second.
import java.net.InetSocketAddress;
import java.util.List;
import net.spy.memcached.BinaryConnectionFactory;
import net.spy.memcached.CASResponse;
import net.spy.memcached.ConnectionFactory;
import net.spy.memcached.DefaultConnectionFactory;
import net.spy.memcached.MemcachedClient;

public class Spymemcached {
  static void check(String what, Object got, Object wanted) {
    if (!String.valueOf(got).equals(String.valueOf(wanted)))
      throw new AssertionError(what + ": " + got);
  }

  static MemcachedClient client(boolean binary, String port) throws Exception {
    ConnectionFactory how = binary ? new BinaryConnectionFactory() : new DefaultConnectionFactory();
    return new MemcachedClient(how, List.of(new InetSocketAddress("127.0.0.1", Integer.parseInt(port))));
  }

  public static void main(String[] ports) throws Exception {
    for (boolean binary : new boolean[] {false, true}) {
      var first = client(binary, ports[0]);
      var second = client(binary, ports[1]);
      first.delete("key").get();
      check("set", first.set("key", 1000, "value").get(), true);
      check("get", second.get("key"), "value");
      check("add", second.add("key", 0, "other").get(), false);
      check("replace", second.replace("key", 0, "new").get(), true);
      check("missing", first.get("missing"), null);
      for (char key = 'a'; key <= 'z'; ++key)
        first.set("" + key, 0, "value of " + key).get();
      check("bulk", second.getBulk("a", "b", "missing").size(), 2);
      var found = first.gets("key");
      check("cas", second.cas("key", found.getCas(), "newer"), CASResponse.OK);
      check("cas again", first.cas("key", found.getCas(), "newest"), CASResponse.EXISTS);
      first.set("text", 0, "b").get();
      check("append", first.append("text", "c").get(), true);
      check("joined", second.get("text"), "bc");
      first.delete("count").get();
      check("incr makes", first.incr("count", 1, 41), 41);
      check("incr", second.incr("count", 1), 42);
      check("decr", first.decr("count", 2), 40);
      check("touch", second.touch("text", 100).get(), true);
      check("delete", first.delete("key").get(), true);
      check("deleted", second.get("key"), null);
      first.shutdown();
      second.shutdown();
    }
  }
}
