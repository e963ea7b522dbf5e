//! Comparisons: of tables with tables, and of tables with segments.

mod bench;
mod pipelines;
mod defects;
mod oracle;
mod resuming;
mod second_order;
