"""Statistics over tables and arrays: numpy, scipy, pandas, scikit-learn and, for tails,
arviz-stats; no files, no torch."""
