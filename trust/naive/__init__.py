"""A second judge, written from the description of the styles (DESIGN, docs/guide.md, docs/trust.md) alone.

It shares no code with aritmo: text is read character by character, primes come of a sieve of its own, sums of
column addition on strings. It is slow and plain on purpose. For each style there is a reader of prompts, which
returns None where nothing is asked, the one right completion, and the judge, which returns what has to agree.
"""
