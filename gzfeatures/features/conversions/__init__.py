"""Convert embedding tables to the objects of other libraries."""
