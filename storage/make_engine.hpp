#pragma once

#include <memory>

#include <caf/expected.hpp>

#include "storage/engine.hpp"
#include "storage/leveldb_database.hpp"
#include "storage/memory_engine.hpp"

namespace kai {

/// A vnode's engine in memory.
std::unique_ptr<engine> make_engine(memory_engine_options options);

/// A vnode's engine on disk. errc::storage_failed as leveldb_engine::open.
caf::expected<std::unique_ptr<engine>> make_engine(leveldb_engine_options options);

} // namespace kai
