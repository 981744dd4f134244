"""Readers and writers of other people's formats, each into and out of the tables of `pipeline.manifests`."""
