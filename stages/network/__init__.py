"""The re-ID network: backbones, checkpoints, embeddings, and the files it is exported to."""
