//! Numbers: known bits, ranges, scalars.
