"""From decompressed bytes to columns: lines, fields, names, numbers and times, compiled."""
