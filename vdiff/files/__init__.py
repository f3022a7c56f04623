"""What touches disk: tidy tables, states, snapshots, hashes of code, manifests, archives."""
