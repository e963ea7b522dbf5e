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
mod deletes;
#[cfg(test)]
mod expired;
