"""The presets, as package data, so that an installed wheel has them."""
