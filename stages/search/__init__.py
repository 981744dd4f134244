"""A finished run used: embed images, search for a person."""
