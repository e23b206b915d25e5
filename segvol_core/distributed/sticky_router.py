"""The router of Ray Serve that sends a session's requests to the replica with its volumes."""

from __future__ import annotations

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from segvol_core.distributed.session_homes import SessionHomes


class StickyRouter(RequestRouter):  # type: ignore[misc]  # Ray is not typed for us.
    """Ray's own routers prefer a replica; here another one would not know the volume.

    Routes are chosen in one process, that of the front, so that this is the only router there is.
    """

    def initialize_state(self, forget_seconds: float) -> None:
        """Begin without sessions; Ray Serve calls this once, with the router's settings."""
        self._homes: SessionHomes[ReplicaID] = SessionHomes(forget_seconds)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the one replica of a session; any for a request without a session."""
        if pending_request is None or not pending_request.metadata.session_id:
            return [candidate_replicas]
        # A busy replica is asked again, a little later each time; no other one will do.
        pending_request.routing_context.should_backoff = True
        alive = {replica.replica_id: replica for replica in candidate_replicas}
        return [[alive[self._homes.home_of(pending_request.metadata.session_id, alive)]]]
