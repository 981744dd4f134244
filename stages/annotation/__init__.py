"""A person looks at pairs of tracklets and says who is who: how good the run is without truth, and what it should learn."""
