#include "actors/replica_call.hpp"

namespace kai {

replica_call_actor::behavior_type
replica_call(replica_call_actor::stateful_pointer<replica_call_state> self) {
  return {
      [self](start_atom, uint32_t source, const peer_actor& peer, call_list& calls) {
        auto& st = self->state;
        st.coordinator = caf::actor_cast<coordinator_actor>(self->current_sender());
        st.source = source;
        st.peer = peer;
        self->send(st.peer, std::move(calls));
      },
      [self](call_list& calls) { self->send(self->state.peer, std::move(calls)); },
      [self](answer_list& answers) {
        answers.source = self->state.source;
        self->send(self->state.coordinator, std::move(answers));
      },
  };
}

} // namespace kai
