"""Contain the parts of the interactive map's page, which `maps.map_page` puts together."""
