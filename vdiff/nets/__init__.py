"""Networks (y, s) -> R^d that know no SDE: y (B, ...), s (B,) in [0, T]."""
