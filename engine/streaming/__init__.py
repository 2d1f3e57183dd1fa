"""The engine inside somebody's own program: readings are pushed, rows come back."""
