"""What a configuration will cost, before it is run."""
