"""Reports: the ranking with its evidence, as one page, Markdown, JSON and figures."""
