//! The connector against servers: embedded ones always, real ones where they can be had.

mod fixture;
mod embedded;
mod real;
