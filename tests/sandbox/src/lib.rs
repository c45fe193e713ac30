//! A local stand-in for the outside world of the rotation function.
