"""What can be known about a network without labels."""
