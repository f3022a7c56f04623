"""Networks. `mlp` and `unet` are drifts (y, s) -> R^d of y (B, ...) and s (B,) in [0, T], and know
no SDE. `authors` reads the U-Net's weights as the authors' code names them; `features` are for
judging samples."""
