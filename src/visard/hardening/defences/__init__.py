"""One module per defence."""
