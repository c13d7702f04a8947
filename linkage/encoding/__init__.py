"""What runs at an agency: raw extract in, delivery out; and the contract check that both sides share.

Nothing here imports a database, a linker or an orchestrator, so that it installs on a locked-down machine.
Names, birth dates and Social Security numbers live in memory in this package and nowhere else; no function
writes, logs or raises one of them.
"""
