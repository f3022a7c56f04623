"""Statistics over tables and arrays: numpy, scipy, pandas and scikit-learn; no files, no torch."""
