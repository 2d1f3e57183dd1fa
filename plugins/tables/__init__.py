"""Files with a table that `gapcast fill` reads and writes again: text and Arrow."""
