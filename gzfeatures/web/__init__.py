"""Send requests to web servers within limits; serve a page to a browser on this machine."""
