"""Parts of the interactive map's page: markup, style and scripts, put together by `results.mapview`."""
