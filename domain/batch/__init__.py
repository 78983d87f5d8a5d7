"""Rules of batches: what a row may be, what its answer is worth, when a batch may go on."""
