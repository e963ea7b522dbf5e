//! The account of a shard's orgs: written before the commit that names it, and read by the next.

use futures::future::BoxFuture;

use crate::bucket::Bucket;
use crate::error::{Error, Result};
use crate::format::account::Account;
use crate::format::checksum;
use crate::format::object_key::{Attempt, ObjectKey};
use crate::format::shard_manifest::AccountRef;
use crate::ids::{ShardId, WriteId};

/// Writes an account at a key of its own; nobody knows of it until a manifest names it.
///
/// # Errors
/// The bucket's.
pub fn write<'a>(bucket: &'a Bucket, account: &'a Account) -> BoxFuture<'a, Result<AccountRef>> {
    Box::pin(async move {
        let (random, _) = WriteId::random().0.as_u64_pair();
        let key = ObjectKey::Account {
            shard: account.shard,
            generation: account.expected_generation,
            attempt: Attempt(random),
        };
        let (key, id) = (key.to_string(), WriteId::random());
        let bytes = account.encode(id);
        let crc32c = checksum::crc32c(&bytes);
        bucket.put(&key, bytes, id).await?;
        Ok(AccountRef { key, crc32c })
    })
}

/// The account that a manifest of `shard` names.
///
/// # Errors
/// `Corrupt` when it does not read back, or is not the one that was named; the bucket's.
pub fn load<'a>(
    bucket: &'a Bucket,
    shard: ShardId,
    named: &'a AccountRef,
) -> BoxFuture<'a, Result<Account>> {
    Box::pin(async move {
        let bytes = bucket.get(&named.key).await?;
        check(&bytes, shard, named).map_err(|error| error.in_object(&named.key))
    })
}

/// Reads an account's bytes.
///
/// # Errors
/// `Corrupt` when they are not the account of `shard` that was named.
pub fn check(bytes: &[u8], shard: ShardId, named: &AccountRef) -> Result<Account> {
    let refuse = |reason: String| Err(Error::decode("account", 0, reason));
    let (_, account) = Account::decode(bytes)?;
    let crc32c = checksum::crc32c(bytes);
    if crc32c != named.crc32c {
        let said = named.crc32c;
        return refuse(format!(
            "crc32c is {crc32c:08x}, the manifest says {said:08x}"
        ));
    }
    if account.shard != shard {
        return refuse(format!("it is of {}, not of {shard}", account.shard));
    }
    Ok(account)
}
