"""Two prompt versions side by side: what they say, how they score, where they differ; also as an HTML page."""
