//! Looking into a bucket: what is there ([`ls`]), what one object says ([`cat`]),
//! where a segment's bytes go ([`explain`]), what compactions took ([`timers`]), what could not be read ([`quarantine`]), how far everything is
//! ([`status`]), what is deleted ([`deletes`](mod@deletes)), and whether all of it is whole ([`verify`]).

pub mod ls;
pub mod timers;
pub mod cat;
pub mod explain;
pub mod quarantine;
pub mod finding;
pub mod status;
pub mod deletes;
pub mod verify;
