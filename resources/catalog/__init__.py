"""Task files and dataset files: reading, checking and normalising them."""
