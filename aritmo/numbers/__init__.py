"""Exact mathematics: primes, prime magic squares, column addition, seeded randomness. No torch here."""
