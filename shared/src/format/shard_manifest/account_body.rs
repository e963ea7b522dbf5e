//! How a manifest names an account.

use prost::Message;

use super::AccountRef;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AccountRefBody {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(fixed32, tag = "2")]
    crc32c: u32,
}

impl From<&AccountRef> for AccountRefBody {
    fn from(account: &AccountRef) -> Self {
        Self {
            key: account.key.clone(),
            crc32c: account.crc32c,
        }
    }
}

impl AccountRefBody {
    pub(crate) fn read(self) -> AccountRef {
        AccountRef {
            key: self.key,
            crc32c: self.crc32c,
        }
    }
}
