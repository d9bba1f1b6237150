"""Convert embedding tables to objects of other libraries (pandas, PyTorch, AnnData)."""
