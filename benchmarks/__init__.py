"""What a job costs here, beside what it costs elsewhere: `python -m benchmarks` from the root.

The package measures; it never decides. Each question has a module of its own, each
measurement its own process, and each figure stands next to its bar.
"""
