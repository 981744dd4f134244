"""Measures against the truth, and those that need none. Functions of tables and arrays; `stages.evaluate` calls them."""
