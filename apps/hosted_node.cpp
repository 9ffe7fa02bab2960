#include "apps/hosted_node.hpp"

#include <caf/actor_system.hpp>

#include "protocol/errc.hpp"

namespace kai {

hosted_node::hosted_node(node_options options, const caf_settings& caf,
                         node_environment environment)
    : options_(std::move(options)), caf_(caf), environment_(std::move(environment)),
      thread_([this] { live_or_fail(); }) {}

hosted_node::~hosted_node() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
    // It may still be joining.
    if (node_)
      node_->interrupt();
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<caf::expected<node::endpoints>> hosted_node::outcome() {
  std::lock_guard lock{mutex_};
  return outcome_;
}

std::string hosted_node::cluster_address() {
  std::lock_guard lock{mutex_};
  return node_ ? node_->cluster_address() : std::string{};
}

bool hosted_node::left() {
  std::lock_guard lock{mutex_};
  return node_ && node_->left();
}

void hosted_node::reload() {
  std::lock_guard lock{mutex_};
  if (node_)
    node_->reload();
}

void hosted_node::abandon() {
  std::lock_guard lock{mutex_};
  abandoned_ = true;
}

/// CAF throws where the system has no threads or files left.
void hosted_node::live_or_fail() {
  try {
    live();
  } catch (const std::exception& err) {
    std::lock_guard lock{mutex_};
    outcome_ = failure(errc::refused, std::string{"the actor system failed: "} + err.what());
  }
}

void hosted_node::live() {
  system_config config{caf_};
  caf::actor_system system{config};
  node self{system, options_, environment_};
  std::unique_lock lock{mutex_};
  if (stopping_)
    return;
  node_ = &self;
  lock.unlock();
  // Nobody finds it any more when it is gone, however it goes.
  struct forgetting {
    hosted_node& host;
    ~forgetting() {
      std::lock_guard lock{host.mutex_};
      host.node_ = nullptr;
    }
  };
  auto abandoned = false;
  {
    forgetting at_end{*this};
    auto outcome = self.start();
    std::unique_lock lock{mutex_};
    outcome_ = std::move(outcome);
    changed_.wait(lock, [this] { return stopping_; });
    abandoned = abandoned_;
  }
  if (abandoned)
    self.core().kill();
  self.stop();
}

} // namespace kai
