"""What is done for every row that sinks have taken."""
