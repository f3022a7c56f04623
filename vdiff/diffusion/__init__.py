"""The mathematics of the paper: torch alone, no files, no machine, no configuration."""
