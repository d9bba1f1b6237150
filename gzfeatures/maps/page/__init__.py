"""Hold the parts of the interactive map's page, put together by `maps.map_page`."""
