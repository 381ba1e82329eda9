"""Who I am and what I keep: identity, folders, outbox, checkpoints, leases, and the state of the other parties."""
