"""One module per published method: its card, and its difference from the loop."""
