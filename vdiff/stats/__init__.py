"""Statistics over tables and arrays: numpy, scipy and pandas; no files, no torch."""
