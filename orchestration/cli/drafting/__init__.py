"""From a labelled file to a task file: what its columns hold, and the YAML that says so."""
