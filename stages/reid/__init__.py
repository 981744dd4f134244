"""Re-identification parts: networks, features, losses, clustering, association. Methods and stages call them."""
