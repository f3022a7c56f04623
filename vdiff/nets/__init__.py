"""Networks. Drifts (y, s) -> R^d know no SDE, y (B, ...), s (B,) in [0, T]: `mlp`, `unet`, whose
weights `authors` reads under the names of the authors' code. `features` judges samples."""
