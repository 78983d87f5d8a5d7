"""One file per optimizer, and the registry that finds them by the kind a task file names."""
