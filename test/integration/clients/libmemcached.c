/* C libmemcached in text and binary: through the first port, then the second. */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const char* what, memcached_return_t got, memcached_return_t wanted) {
  if (got != wanted) {
    fprintf(stderr, "%s: %s\n", what, memcached_strerror(NULL, got));
    exit(1);
  }
}

static memcached_st* client(const char* port, int binary) {
  memcached_st* result = memcached_create(NULL);
  memcached_behavior_set(result, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, binary);
  memcached_behavior_set(result, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
  memcached_server_add(result, "127.0.0.1", atoi(port));
  return result;
}

static void check_value(const char* what, memcached_st* from, const char* key, const char* wanted) {
  size_t length;
  uint32_t flags;
  memcached_return_t rc;
  char* value = memcached_get(from, key, strlen(key), &length, &flags, &rc);
  check(what, rc, wanted ? MEMCACHED_SUCCESS : MEMCACHED_NOTFOUND);
  if (wanted && (length != strlen(wanted) || memcmp(value, wanted, length) != 0)) {
    fprintf(stderr, "%s: %.*s\n", what, (int) length, value);
    exit(1);
  }
  free(value);
}

int main(int argc, char** argv) {
  (void) argc;
  for (int binary = 0; binary < 2; ++binary) {
    memcached_st* first = client(argv[1], binary);
    memcached_st* second = client(argv[2], binary);
    uint64_t number;
    memcached_delete(first, "key", 3, 0);
    check("set", memcached_set(first, "key", 3, "value", 5, 1000, 7), MEMCACHED_SUCCESS);
    check_value("get", second, "key", "value");
    check("add", memcached_add(second, "key", 3, "x", 1, 0, 0),
          binary ? MEMCACHED_DATA_EXISTS : MEMCACHED_NOTSTORED);
    check("replace", memcached_replace(second, "key", 3, "b", 1, 0, 0), MEMCACHED_SUCCESS);
    check("append", memcached_append(first, "key", 3, "c", 1, 0, 0), MEMCACHED_SUCCESS);
    check("prepend", memcached_prepend(second, "key", 3, "a", 1, 0, 0), MEMCACHED_SUCCESS);
    check_value("joined", first, "key", "abc");
    check_value("missing", second, "missing", NULL);
    check("set number", memcached_set(first, "count", 5, "41", 2, 0, 0), MEMCACHED_SUCCESS);
    check("increment", memcached_increment(second, "count", 5, 1, &number), MEMCACHED_SUCCESS);
    check("42", number == 42 ? MEMCACHED_SUCCESS : MEMCACHED_FAILURE, MEMCACHED_SUCCESS);
    check("touch", memcached_touch(first, "count", 5, 100), MEMCACHED_SUCCESS);
    check("delete", memcached_delete(first, "key", 3, 0), MEMCACHED_SUCCESS);
    check_value("deleted", second, "key", NULL);
    check("flush", memcached_flush(first, 0), MEMCACHED_SUCCESS);
    check_value("flushed", second, "count", NULL);
    memcached_free(first);
    memcached_free(second);
  }
  return 0;
}
