//! Flags and defaults to one resolved settings struct per room.
