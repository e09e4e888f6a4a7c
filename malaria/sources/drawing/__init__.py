"""Drawn blood smears: single cells cut out as NLM's are, whole fields of a laboratory, and crops from these.

They are made to run and test the software with; a score on them says nothing about microscopes.

**The same seed gives the same bytes on any machine**, so that a hash of the archive holds everywhere. Hence:

- random numbers are PCG64's `random`, `integers` and `permutation` only. `uniform` may be fused into one rounding on
  some processors, `normal` and its like call libm. Each cell has its own seed, so the order of drawing is free.
- arithmetic is + - * / sqrt, floor and comparisons, which IEEE 754 rounds in one way, one ufunc at a time. No sin, exp
  or power (libm's last bits differ), no float sums, means or products of matrices (SIMD changes their order).
  A direction is a point of the rational circle; multiples of an angle come from the recurrence of cos and sin; a
  soft edge is a rational function; a smooth field is a coarse random grid, enlarged.
- PNGs are stored, not deflated: each build of zlib compresses to bytes of its own.
"""
