"""What a job is: contracts of plugins, and one room for each stage from readings to sinks."""
