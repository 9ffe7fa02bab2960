#pragma once

#include <string>

#include "test/support/history.hpp"

/// Whether what clients saw of a key can be explained by memcached's rules and one order of the
/// operations in which each takes effect between its sending and its answer (Wing and Gong,
/// "Testing and Verifying Concurrent Objects", 1993, with Lowe's memory of configurations seen).
namespace kai::test {

struct verdict {
  bool legal = true;
  /// There were too many orders to try: nothing speaks against it.
  bool undecided = false;
  /// For people: the operations, and how far an order could be found.
  std::string explanation;
};

/// A version of a write with an unknown end may come to stand behind a value that was seen already:
/// the digest in the value's unique changes then, not the clock. So where there is such a write, if
/// only because a node that has left took its clients' connections along, or there were faults, a
/// value may show another digest.
///
/// With faults two more things are less strict. A set or delete whose leader fails is done again by
/// another one: it may happen up to three times before it is answered. And a delete that could not
/// see the key, or was done again by another leader, says DELETED either way.
enum class faults { no, yes };

/// Judges the history of one key, which is absent at first.
///
/// The cas unique is an opaque number as long as nobody has seen it; from then on it belongs to its
/// version: every read of the version shows it, `cas` succeeds exactly with it, and that of a later
/// value is greater. An operation that was refused is left out; one whose end is unknown may be.
/// Expiry: 0 or a moment long past, at which the key is gone at once.
verdict check_linearizable(const key_history& history, faults some = faults::no);

/// What is left of it where two read quorums need not meet (2 R <= N): the changes are
/// linearizable, and each operation that only looked (a write that changed nothing, NOT_STORED for
/// example, is one) fits in by itself. So it sees every change that was acknowledged before it
/// began, but of two during a change the later one may show the older value.
verdict check_regular(const key_history& history);

} // namespace kai::test
