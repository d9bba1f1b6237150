"""Write the ranking of candidates as a page, Markdown, JSON and figures."""
