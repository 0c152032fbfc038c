# SPDX-License-Identifier: MIT
"""What benchmarks/compare is made of: rows (the table of what is measured),
numbers (statistics), peers (building and running programs), measuring (rounds
and time), verdicts (what the figures say), the reports, and command (main)."""
