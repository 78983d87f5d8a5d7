"""Optimization runs: started, resumed, finished and recorded."""
