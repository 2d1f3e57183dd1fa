"""What a job would need: costs measured here, carried over to another size."""
