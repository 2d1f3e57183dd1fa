"""Dew point from temperature and relative humidity."""
