"""Boxes of one camera followed through time: geometry, motion, assignment and the tracker that joins them."""
