#pragma once

#include "actors/vnode.hpp"

namespace kai {

/// What a vnode drops on orders from other actors of its node: handlers of its messages, on its
/// thread.

/// Looks at some records of a partition and drops those that may go.
caf::result<reap_result> reap(vnode_state& st, const reap_order& x);

/// Drops every record. The engine's bound of the clock stays, so no dot comes twice.
caf::result<bool> forget_all(vnode_state& st, uint32_t partitions);

} // namespace kai
