"""The computer: devices, processes, precision, progress, signals, and named random streams."""
