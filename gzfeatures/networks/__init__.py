"""Networks: the only folder that imports torch."""
