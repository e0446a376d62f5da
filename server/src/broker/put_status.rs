// SPDX-License-Identifier: Apache-2.0
//! How storing a message ended, in the reference's words, and the response code of each. Source: store.md 5.5.

use kerolox_protocol::ResponseCode;

use crate::store::{AppendError, StoreError};

/// How storing a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutStatus {
    /// Stored, and as safe as the flush and replication modes promise.
    PutOk,
    /// Stored, but not flushed in time (`syncFlushTimeout`).
    FlushDiskTimeout,
    /// Stored, but not on enough replicas in time (`slaveTimeout`).
    FlushSlaveTimeout,
    /// Stored, but there is no replica that could take it.
    SlaveNotAvailable,
    /// The store takes no messages: it is full, failed, shut down, or that of a replica.
    ServiceNotAvailable,
    /// The next file of the commit log could not be made.
    CreateMappedFileFailed,
    /// The message breaks a limit.
    MessageIllegal,
    /// The properties text is too long.
    PropertiesSizeExceeded,
    /// The disk takes longer than the senders.
    OsPageCacheBusy,
    /// There are fewer replicas than needed (`minInSyncReplicas`); nothing was stored.
    InSyncReplicasNotEnough,
    /// There are too many light queues (`maxLmqConsumeQueueNum`).
    LmqConsumeQueueNumExceeded,
    /// The time of a timer message is not allowed.
    WheelTimerMsgIllegal,
    /// Too many timer messages are due at one time.
    WheelTimerFlowControl,
    /// Timer messages are switched off.
    WheelTimerNotEnable,
    /// The queue's topic was deleted meanwhile.
    TopicDeleted,
    /// Anything else.
    UnknownError,
}

impl PutStatus {
    /// Why a record was not stored.
    pub fn of(error: &StoreError) -> Self {
        match error {
            StoreError::MessageIllegal(_) => Self::MessageIllegal,
            StoreError::TooManyLightQueues { .. } => Self::LmqConsumeQueueNumExceeded,
            StoreError::PropertiesTooLong { .. } => Self::PropertiesSizeExceeded,
            StoreError::Append(AppendError::CreateSegment) => Self::CreateMappedFileFailed,
            StoreError::Append(AppendError::NoBuffer) => Self::OsPageCacheBusy,
            StoreError::Append(AppendError::QueueDeleted) => Self::TopicDeleted,
            _ => Self::ServiceNotAvailable,
        }
    }

    /// Whether the message is stored, be it weaker than asked for. The answer then says where.
    pub const fn is_stored(self) -> bool {
        matches!(
            self,
            Self::PutOk
                | Self::FlushDiskTimeout
                | Self::FlushSlaveTimeout
                | Self::SlaveNotAvailable
        )
    }

    /// The code of the answer to a send.
    pub const fn response_code(self) -> ResponseCode {
        match self {
            Self::PutOk => ResponseCode::SUCCESS,
            Self::FlushDiskTimeout => ResponseCode::FLUSH_DISK_TIMEOUT,
            Self::FlushSlaveTimeout => ResponseCode::FLUSH_SLAVE_TIMEOUT,
            Self::SlaveNotAvailable => ResponseCode::SLAVE_NOT_AVAILABLE,
            Self::ServiceNotAvailable => ResponseCode::SERVICE_NOT_AVAILABLE,
            Self::MessageIllegal | Self::PropertiesSizeExceeded | Self::WheelTimerMsgIllegal => {
                ResponseCode::MESSAGE_ILLEGAL
            }
            Self::OsPageCacheBusy => ResponseCode::SYSTEM_BUSY,
            Self::TopicDeleted => ResponseCode::TOPIC_NOT_EXIST,
            Self::CreateMappedFileFailed
            | Self::InSyncReplicasNotEnough
            | Self::LmqConsumeQueueNumExceeded
            | Self::WheelTimerFlowControl
            | Self::WheelTimerNotEnable
            | Self::UnknownError => ResponseCode::SYSTEM_ERROR,
        }
    }

    /// The code of the answer to END_TRANSACTION: what is stored is committed, and a busy disk is an error.
    pub const fn transaction_code(self) -> ResponseCode {
        match self {
            status if status.is_stored() => ResponseCode::SUCCESS,
            Self::OsPageCacheBusy => ResponseCode::SYSTEM_ERROR,
            status => status.response_code(),
        }
    }

    /// The reference's spelling, used in remarks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PutOk => "PUT_OK",
            Self::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            Self::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            Self::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
            Self::ServiceNotAvailable => "SERVICE_NOT_AVAILABLE",
            Self::CreateMappedFileFailed => "CREATE_MAPPED_FILE_FAILED",
            Self::MessageIllegal => "MESSAGE_ILLEGAL",
            Self::PropertiesSizeExceeded => "PROPERTIES_SIZE_EXCEEDED",
            Self::OsPageCacheBusy => "OS_PAGE_CACHE_BUSY",
            Self::InSyncReplicasNotEnough => "IN_SYNC_REPLICAS_NOT_ENOUGH",
            Self::LmqConsumeQueueNumExceeded => "LMQ_CONSUME_QUEUE_NUM_EXCEEDED",
            Self::WheelTimerMsgIllegal => "WHEEL_TIMER_MSG_ILLEGAL",
            Self::WheelTimerFlowControl => "WHEEL_TIMER_FLOW_CONTROL",
            Self::WheelTimerNotEnable => "WHEEL_TIMER_NOT_ENABLE",
            Self::TopicDeleted => "TOPIC_DELETED",
            Self::UnknownError => "UNKNOWN_ERROR",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_never_answered_as_refused_and_the_reverse() {
        let stored = [
            (PutStatus::PutOk, 0),
            (PutStatus::FlushDiskTimeout, 10),
            (PutStatus::SlaveNotAvailable, 11),
            (PutStatus::FlushSlaveTimeout, 12),
        ];
        for (status, code) in stored {
            assert!(status.is_stored());
            assert_eq!(status.response_code().0, code);
            assert_eq!(status.transaction_code(), ResponseCode::SUCCESS);
        }
        let refused = [
            (PutStatus::ServiceNotAvailable, 14),
            (PutStatus::CreateMappedFileFailed, 1),
            (PutStatus::MessageIllegal, 13),
            (PutStatus::PropertiesSizeExceeded, 13),
            (PutStatus::OsPageCacheBusy, 2),
            (PutStatus::InSyncReplicasNotEnough, 1),
            (PutStatus::LmqConsumeQueueNumExceeded, 1),
            (PutStatus::WheelTimerMsgIllegal, 13),
            (PutStatus::WheelTimerFlowControl, 1),
            (PutStatus::WheelTimerNotEnable, 1),
            (PutStatus::TopicDeleted, 17),
            (PutStatus::UnknownError, 1),
        ];
        for (status, code) in refused {
            assert!(!status.is_stored());
            assert_eq!(status.response_code().0, code, "{}", status.name());
            assert_ne!(status.transaction_code(), ResponseCode::SUCCESS);
        }
        let busy = PutStatus::OsPageCacheBusy.transaction_code();
        assert_eq!(busy, ResponseCode::SYSTEM_ERROR);
    }
}
