#pragma once

#include <string>
#include <string_view>

#include <leveldb/env.h>

namespace kai {

/// Makes `directory/name` hold `bytes`, all of them or, after a crash, what it held before: written
/// beside it, synced, renamed over it, and the directory synced. On return it is durable.
leveldb::Status replace_file(leveldb::Env& env, const std::string& directory,
                             const std::string& name, std::string_view bytes);

/// `mkdir -p`.
leveldb::Status make_directories(leveldb::Env& env, const std::string& path);

} // namespace kai
