"""Contain HTML, scripts and styles that `maps.map_page` puts together to an interactive map."""
