"""From an answer back to the rows it rests on, and from a row to everything it touched."""
