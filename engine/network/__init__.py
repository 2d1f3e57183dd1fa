"""Who there is, and who reads whom: series, layouts, blocks."""
