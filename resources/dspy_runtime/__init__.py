"""DSPy's optimizers over the execution core. Only `run.optimize` imports dspy, and only when it is called."""
