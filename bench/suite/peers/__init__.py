"""What others would do with the same gaps. Every peer takes values (T, N) in raw units, NaN where
missing or withheld, and gives the same with estimates in the gaps."""
