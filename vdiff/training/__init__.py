"""Training: score matching under either law of time, resumable to the same bytes."""
