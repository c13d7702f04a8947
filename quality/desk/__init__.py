"""The stewards' desk: a local web application that shows uncertain links one at a time and appends decisions.

It reads a snapshot that the pipeline leaves (`quality.desk.snapshot`) and writes to the stewardship file only, so
that it works while a run is under way. It never opens the warehouse, a delivery or a model.
"""
