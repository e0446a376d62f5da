// SPDX-License-Identifier: Apache-2.0
//! Bits of a record's SYSFLAG (wire.md 5.3).

/// The body is compressed; bits 8-10 say how.
pub const COMPRESSED: i32 = 0x001;
/// The message has several tags.
pub const MULTI_TAGS: i32 = 0x002;
/// Mask of the transaction type.
pub const TRANSACTION_MASK: i32 = 0x00C;
/// Transaction type: none.
pub const TRANSACTION_NONE: i32 = 0x000;
/// Transaction type: prepared (half message).
pub const TRANSACTION_PREPARED: i32 = 0x004;
/// Transaction type: committed.
pub const TRANSACTION_COMMIT: i32 = 0x008;
/// Transaction type: rolled back.
pub const TRANSACTION_ROLLBACK: i32 = 0x00C;
/// The born host is an IPv6 address (16 bytes).
pub const BORN_HOST_V6: i32 = 0x010;
/// The store host is an IPv6 address (16 bytes).
pub const STORE_HOST_V6: i32 = 0x020;
/// Consumers must unwrap the body (inner batch).
pub const NEED_UNWRAP: i32 = 0x040;
/// The record is an inner batch.
pub const INNER_BATCH: i32 = 0x080;
/// Mask of the compression type.
pub const COMPRESSION_MASK: i32 = 0x700;

/// The transaction type of `flag`: one of the `TRANSACTION_*` values.
pub const fn transaction(flag: i32) -> i32 {
    flag & TRANSACTION_MASK
}

/// Whether records with this flag have an entry in a consume queue: transaction types none and commit.
pub const fn is_queued(flag: i32) -> bool {
    matches!(
        flag & TRANSACTION_MASK,
        TRANSACTION_NONE | TRANSACTION_COMMIT
    )
}
