#include "actors/replica_call.hpp"

#include <caf/send.hpp>

namespace kai {

replica_call_actor::behavior_type
replica_call(replica_call_actor::stateful_pointer<replica_call_state> self) {
  return {
      [self](start_atom, const peer_actor& peer, call_list& calls) {
        auto& st = self->state;
        st.coordinator = caf::actor_cast<coordinator_actor>(self->current_sender());
        st.peer = peer;
        caf::send_as(st.coordinator, st.peer, std::move(calls));
      },
      [self](call_list& calls) {
        caf::send_as(self->state.coordinator, self->state.peer, std::move(calls));
      },
  };
}

} // namespace kai
