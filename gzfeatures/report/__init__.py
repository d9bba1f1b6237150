"""Write the ranking of candidates as one page, Markdown, JSON and figures."""
