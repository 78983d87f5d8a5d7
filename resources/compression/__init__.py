"""Looking for a cheaper prompt that is not worse."""
