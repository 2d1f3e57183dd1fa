"""From results to sinks: rows, epochs, delivery, dead letters, score files."""
