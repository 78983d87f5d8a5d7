"""What the program asks of the database: one module per kind of thing, plain functions over a session.

`find` gives None where nothing is, `get` raises `NotFoundError`. Values that come back are detached and frozen.
"""
