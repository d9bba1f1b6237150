"""Write the ranking of networks and heads as a web page, Markdown, JSON and figures."""
