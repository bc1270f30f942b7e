"""Hypothesis looks at the same examples in every run, so that a change is judged by what it changes.

Other examples are looked for on purpose: `python3 tests -- --hypothesis-profile=exploring -k test_templates`.
"""

from hypothesis import settings

# No deadline: how fast something is, a busy machine does not tell; the benchmark does.
settings.register_profile("repeatable", derandomize=True, print_blob=True, deadline=None)
settings.register_profile("exploring", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("repeatable")
