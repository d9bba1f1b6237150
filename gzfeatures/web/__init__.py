"""Send requests to web servers, with limits on time, size and allowed addresses; serve one page."""
