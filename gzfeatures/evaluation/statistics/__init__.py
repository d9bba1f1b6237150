"""Confidence intervals of scores, chosen so that they hold the truth as often as they say."""
