"""Models of other packages as `vdiff.wrap` takes them: a file for each package, which it needs."""
