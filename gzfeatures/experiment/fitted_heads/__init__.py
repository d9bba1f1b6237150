"""What a fitted head of a run comes with: its options, its calibration, its files."""
