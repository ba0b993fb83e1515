"""Whether the cost of a change is still the size of the change: p50 at 2,000 hosts over p50 at 100, in one run.

Run: `make bench-quick`. No cluster is needed, and it takes less than two minutes.
"""
