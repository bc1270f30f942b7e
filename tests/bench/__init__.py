"""How much mockware costs: ratios from one run, each beside its goal. `python -m tests.bench` prints them.

Law: what is measured is the public middleware, loaded from a rules file, everything at its defaults,
against something simpler that was measured in the same run. A number without its rival says nothing,
since machines differ and are busy. Nothing here is imported by the package or by its tests.
"""
