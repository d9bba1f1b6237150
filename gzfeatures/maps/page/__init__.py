"""Contain the HTML, scripts and styles from which `maps.map_page` makes an interactive map."""
