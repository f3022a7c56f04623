"""Training: score matching under either time distribution, resumable to the same bytes."""
