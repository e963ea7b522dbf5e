//! Reads the layers, puts them over one another, and refuses what cannot be used.
