// Go gomemcache: through the first port, then the second.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"
)

func check(what string, got, wanted interface{}) {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, got)
		os.Exit(1)
	}
}

func main() {
	first := memcache.New("127.0.0.1:" + os.Args[1])
	second := memcache.New("127.0.0.1:" + os.Args[2])
	value := func(client *memcache.Client, key string) string {
		item, err := client.Get(key)
		if err != nil {
			return err.Error()
		}
		return string(item.Value)
	}
	check("set", first.Set(&memcache.Item{Key: "key", Value: []byte("value"), Expiration: 1000}), nil)
	check("get", value(second, "key"), "value")
	check("add", second.Add(&memcache.Item{Key: "key", Value: []byte("x")}), memcache.ErrNotStored)
	check("missing", value(first, "missing"), memcache.ErrCacheMiss)
	first.Set(&memcache.Item{Key: "a", Value: []byte("1")})
	first.Set(&memcache.Item{Key: "b", Value: []byte("2")})
	items, err := second.GetMulti([]string{"a", "b", "missing"})
	check("get many", err, nil)
	check("count", len(items), 2)
	item, _ := first.Get("a")
	again := *item
	item.Value = []byte("new")
	check("cas", second.CompareAndSwap(item), nil)
	check("cas again", first.CompareAndSwap(&again), memcache.ErrCASConflict)
	first.Set(&memcache.Item{Key: "count", Value: []byte("41")})
	up, _ := second.Increment("count", 1)
	check("increment", up, 42)
	down, _ := first.Decrement("count", 2)
	check("decrement", down, 40)
	long := strings.Repeat("x", 500000)
	check("long", first.Set(&memcache.Item{Key: "long", Value: []byte(long)}), nil)
	check("long back", len(value(second, "long")), 500000)
	check("delete", first.Delete("key"), nil)
	check("deleted", value(second, "key"), memcache.ErrCacheMiss)
}
