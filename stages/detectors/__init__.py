"""Where person boxes come from: a network (`yolo`, run by `openvino_network` on a CPU) or files (`precomputed`)."""
