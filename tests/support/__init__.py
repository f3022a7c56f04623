"""What several tests share: oracles, processes, browsers, copies of the project."""
