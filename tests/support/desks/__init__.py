"""Folders as users have them: their files under the names that the pages use."""
