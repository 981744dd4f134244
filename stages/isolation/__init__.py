"""Cutting tracklets that changed persons (TMC, intra-tracklet isolation)."""
