"""Live experiments at work: start, assign, answer, record, analyse, stop."""
