"""Which pixels a class rests on, and galleries of them."""
