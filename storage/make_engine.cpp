#include "storage/make_engine.hpp"

#include "storage/leveldb_engine.hpp"

namespace kai {

std::unique_ptr<engine> make_engine(memory_engine_options options) {
  return std::make_unique<memory_engine>(std::move(options));
}

caf::expected<std::unique_ptr<engine>> make_engine(leveldb_engine_options options) {
  auto result = leveldb_engine::open(std::move(options));
  if (!result)
    return result.error();
  return std::unique_ptr<engine>{std::move(*result)};
}

} // namespace kai
