"""All series of a block by one regression."""
