"""Send requests to web servers, limited in rate, size and time; serve a page on this machine."""
