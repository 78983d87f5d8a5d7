"""The code location and the command line."""

import warnings

# Dagster is pinned below its next minor version, so that its beta parameters cannot change under us.
warnings.filterwarnings("ignore", message=".*is currently in beta")
