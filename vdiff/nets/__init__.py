"""Networks. Drifts (y, s) -> R^d know no SDE, y (B, ...), s (B,) in [0, T]: `mlp`, `unet`, whose
weights `published` reads under the published code's names. `features` judges samples."""
