"""What a configuration produces as a whole, and the page that shows it."""
