//! Integration tests of reading, against the embedded bucket.

#[cfg(test)]
mod inspect;
#[cfg(test)]
mod world;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod names;
#[cfg(test)]
mod buckets;
#[cfg(test)]
mod exports;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod mirrored;
#[cfg(test)]
mod deletes;
#[cfg(test)]
mod expired;
#[cfg(test)]
mod old_folder;
#[cfg(test)]
mod old_bucket;
#[cfg(test)]
mod parquet;
#[cfg(test)]
mod stitched;
#[cfg(test)]
mod boundaries;
#[cfg(test)]
mod sides;
#[cfg(test)]
mod pinned;
#[cfg(test)]
mod diffs;
