"""Send requests to web servers, with limits of time, size and address."""
