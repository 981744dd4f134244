"""What `ingest` knows about recordings: when each began, and what a person should know before hours are spent on them."""
