// SPDX-License-Identifier: Apache-2.0
//! Settings of the broker: identity, network, store and behaviour in one flat space of keys.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use kerolox_protocol::message::name;

use super::keys::keys;
use super::{BrokerRole, ConfigError, DeleteWhen, FlushDiskType, MessageRequestMode};
use crate::store::{Flush, StoreOptions};

/// Delay of each level, from level 1.
const DELAY_LEVELS: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

keys! {
    /// Settings of a broker.
    pub struct BrokerConfig {
        /// Cluster.
        "brokerClusterName" broker_cluster_name: String = "DefaultCluster".to_owned() => local,
        /// Name of the broker set.
        "brokerName" broker_name: String = host_name() => local,
        /// 0 is the master.
        "brokerId" broker_id: i64 = 0 => local,
        /// Part in the set.
        "brokerRole" broker_role: BrokerRole = BrokerRole::AsyncMaster => local,
        /// Address that clients are told; by default the one listened on, or a local one.
        "brokerIP1" broker_ip1: Option<String> = None => local,
        /// Bits of what clients may do.
        "brokerPermission" broker_permission: i32 = 6 => live,
        /// Address to listen on; loopback if nobody chose one.
        "bindAddress" bind_address: Option<IpAddr> = None => local,
        /// Port to listen on; 0 takes a free one.
        "listenPort" listen_port: u16 = 10_911 => local,
        /// Name servers, `host:port;host:port`.
        "namesrvAddr" namesrv_addr: String = std::env::var("NAMESRV_ADDR").unwrap_or_default() => live,
        /// Milliseconds between two registrations.
        "registerNameServerPeriod" register_name_server_period: u64 = 30_000 => live,
        /// All topics are registered every time; otherwise only at name servers that have another version of them.
        "forceRegister" force_register: bool = true => live,
        /// All topics are registered in parts.
        "enableSplitRegistration" enable_split_registration: bool = false => live,
        /// Topics of a part.
        "splitRegistrationSize" split_registration_size: usize = 800 => live,
        /// A changed topic is registered alone instead of as an increment of the broker's registration.
        "enableSingleTopicRegister" enable_single_topic_register: bool = false => live,
        /// Longest registration, milliseconds.
        "registerBrokerTimeoutMills" register_broker_timeout_mills: u64 = 24_000 => live,
        /// Seconds after which a silent connection is closed.
        "serverChannelMaxIdleTimeSeconds" server_channel_max_idle_time_seconds: u64 = 120,
        /// Milliseconds after which a silent client is forgotten.
        "channelExpiredTimeout" channel_expired_timeout: i64 = 120_000,

        /// The file that these settings were read from and remote changes are written to; set by `-c`.
        "brokerConfigPath" broker_config_path: Option<PathBuf> = None => local,
        /// Keys that can not be changed remotely, `;` between them.
        "configBlackList" config_black_list: String = "configBlackList;brokerConfigPath".to_owned() => local,

        /// Directory of the store.
        "storePathRootDir" store_path_root_dir: PathBuf = default_root() => local,
        /// Directory of the commit log; by default in the store.
        "storePathCommitLog" store_path_commit_log: Option<PathBuf> = None => local,
        /// Bytes of a commit log file.
        "mappedFileSizeCommitLog" mapped_file_size_commit_log: u64 = 1_073_741_824,
        /// Bytes of a consume queue file.
        "mappedFileSizeConsumeQueue" mapped_file_size_consume_queue: u64 = 6_000_000,
        /// Consume queues have extension files.
        "enableConsumeQueueExt" enable_consume_queue_ext: bool = false,
        /// Bytes of an extension file of a consume queue.
        "mappedFileSizeConsumeQueueExt" mapped_file_size_consume_queue_ext: u64 = 50_331_648,
        /// When a send is acknowledged.
        "flushDiskType" flush_disk_type: FlushDiskType = FlushDiskType::Async,
        /// Milliseconds between two flushes of the commit log.
        "flushIntervalCommitLog" flush_interval_commit_log: i64 = 500,
        /// The flush waits for its interval; otherwise sends wake it too.
        "flushCommitLogTimed" flush_commit_log_timed: bool = true,
        /// Dirty pages of the commit log from which a send wakes the flush.
        "flushCommitLogLeastPages" flush_commit_log_least_pages: u64 = 4,
        /// Longest time between two flushes of the commit log, milliseconds.
        "flushCommitLogThoroughInterval" flush_commit_log_thorough_interval: i64 = 10_000,
        /// Sends wake the flush under ASYNC_FLUSH.
        "wakeFlushWhenPutMessage" wake_flush_when_put_message: bool = false,
        /// Messages go to buffers before the commit log's files; only under ASYNC_FLUSH.
        "transientStorePoolEnable" transient_store_pool_enable: bool = false,
        /// Buffers, each as long as a commit log file.
        "transientStorePoolSize" transient_store_pool_size: usize = 5,
        /// A send that finds no buffer is refused as one that finds no file.
        "fastFailIfNoBufferInStorePool" fast_fail_if_no_buffer_in_store_pool: bool = false,
        /// Milliseconds between two commits of the buffers.
        "commitIntervalCommitLog" commit_interval_commit_log: i64 = 200,
        /// Uncommitted pages from which a send wakes the commit.
        "commitCommitLogLeastPages" commit_commit_log_least_pages: u64 = 4,
        /// Longest time between two commits, milliseconds.
        "commitCommitLogThoroughInterval" commit_commit_log_thorough_interval: i64 = 200,
        /// Sends wake the commit.
        "wakeCommitWhenPutMessage" wake_commit_when_put_message: bool = true,
        /// Milliseconds between two flushes of the consume queues.
        "flushIntervalConsumeQueue" flush_interval_consume_queue: i64 = 1_000,
        /// Dirty pages below which the flush of a consume queue is put off.
        "flushConsumeQueueLeastPages" flush_consume_queue_least_pages: u64 = 2,
        /// Milliseconds between two flushes of all consume queues.
        "flushConsumeQueueThoroughInterval" flush_consume_queue_thorough_interval: i64 = 60_000,
        /// Longest wait for a flush before FLUSH_DISK_TIMEOUT, milliseconds.
        "syncFlushTimeout" sync_flush_timeout: i64 = 5_000 => live,
        /// Hours that messages are kept.
        "fileReservedTime" file_reserved_time: u64 = 72 => live,
        /// Hours of the day at which expired files are deleted.
        "deleteWhen" delete_when: DeleteWhen = DeleteWhen("04".to_owned()) => live,
        /// Percent of the partition from which expired files are deleted at any hour.
        "diskMaxUsedSpaceRatio" disk_max_used_space_ratio: u64 = 75 => live,
        /// Percent of the partition from which files are deleted before they expire.
        "diskSpaceCleanForciblyRatio" disk_space_clean_forcibly_ratio: u64 = 85 => live,
        /// Percent of the partition from which messages are refused.
        "diskSpaceWarningLevelRatio" disk_space_warning_level_ratio: u64 = 90 => live,
        /// Files may be deleted before they expire.
        "cleanFileForciblyEnable" clean_file_forcibly_enable: bool = true => live,
        /// Files may be deleted before they expire even if their messages were not consumed. Not a key of the reference.
        "cleanUnconsumedForciblyEnable" clean_unconsumed_forcibly_enable: bool = false => live,
        /// Milliseconds between two looks for expired files.
        "cleanResourceInterval" clean_resource_interval: i64 = 10_000 => live,
        /// Most commit log files deleted at a time.
        "deleteFileBatchMax" delete_file_batch_max: usize = 10 => live,
        /// Milliseconds between two attempts at a first file that could not be deleted.
        "redeleteHangedFileInterval" redelete_hanged_file_interval: i64 = 120_000 => live,
        /// Records end with a CRC of everything before it.
        "enabledAppendPropCRC" enabled_append_prop_crc: bool = false,
        /// Records without such a CRC count as damaged.
        "forceVerifyPropCRC" force_verify_prop_crc: bool = false,
        /// Longest body of a message, bytes.
        "maxMessageSize" max_message_size: usize = 4_194_304,
        /// Delay of each level.
        "messageDelayLevel" message_delay_level: String = DELAY_LEVELS.to_owned(),
        /// Messages are delivered at the instant that they name.
        "timerWheelEnable" timer_wheel_enable: bool = true,
        /// Milliseconds of a slot of the wheel; rounded down to 100, 200, 500 or 1000.
        "timerPrecisionMs" timer_precision_ms: i64 = 1_000,
        /// Slots that a message waits in one go; one that is due later is put into the timer topic again on the way.
        "timerRollWindowSlot" timer_roll_window_slot: i64 = 172_800,
        /// Longest delay of a message, seconds.
        "timerMaxDelaySec" timer_max_delay_sec: i64 = 259_200,
        /// Bytes of a file of the timer log.
        "mappedFileSizeTimerLog" mapped_file_size_timer_log: u64 = 104_857_600,
        /// Milliseconds between two checkpoints of the timer messages.
        "timerFlushIntervalMs" timer_flush_interval_ms: i64 = 1_000,
        /// Messages of a slot above which some are refused, above twice as many all.
        "timerCongestNumEachSlot" timer_congest_num_each_slot: i32 = i32::MAX,
        /// New timer messages are taken but wait in the timer topic.
        "timerStopEnqueue" timer_stop_enqueue: bool = false,
        /// Timer messages that are due wait.
        "timerStopDequeue" timer_stop_dequeue: bool = false,
        /// The key of a recalled message is its topic and unique key, not the unique key alone.
        "appendTopicForTimerDeleteKey" append_topic_for_timer_delete_key: bool = false,
        /// Timer messages can be recalled.
        "recallMessageEnable" recall_message_enable: bool = false,
        /// Timer messages can be recalled although the broker may not be written to.
        "allowRecallWhenBrokerNotWriteable" allow_recall_when_broker_not_writeable: bool = true,
        /// Most bytes of a pull.
        "maxTransferBytesOnMessageInMemory" max_transfer_bytes_on_message_in_memory: usize = 262_144,
        /// Most messages of a pull, as far as the client asks for more.
        "maxTransferCountOnMessageInMemory" max_transfer_count_on_message_in_memory: usize = 32,
        /// Most bytes of a pull of messages that are likely not in memory.
        "maxTransferBytesOnMessageInDisk" max_transfer_bytes_on_message_in_disk: usize = 65_536,
        /// Most messages of a pull of messages that are likely not in memory.
        "maxTransferCountOnMessageInDisk" max_transfer_count_on_message_in_disk: usize = 8,
        /// Percent of the machine's memory that the newest messages are thought to take.
        "accessMessageInMemoryMaxRatio" access_message_in_memory_max_ratio: u64 = 40,
        /// Bytes of a consume queue that one pull looks at.
        "maxFilterMessageSize" max_filter_message_size: usize = 16_000,

        /// Messages can be found by key.
        "messageIndexEnable" message_index_enable: bool = true,
        /// Hash slots of an index file.
        "maxHashSlotNum" max_hash_slot_num: u32 = 5_000_000,
        /// Entries of an index file.
        "maxIndexNum" max_index_num: u32 = 20_000_000,
        /// Most messages of a query by key.
        "maxMsgsNumBatch" max_msgs_num_batch: usize = 64,
        /// Messages of a query by unique key.
        "defaultQueryMaxNum" default_query_max_num: usize = 32,

        /// Topics come into being with their first message.
        "autoCreateTopicEnable" auto_create_topic_enable: bool = true => live,
        /// Groups come into being with their first member.
        "autoCreateSubscriptionGroup" auto_create_subscription_group: bool = true => live,
        /// Groups of the system come into being with their first member.
        "enableCreateSysGroup" enable_create_sys_group: bool = true => live,
        /// Queues of a new topic.
        "defaultTopicQueueNums" default_topic_queue_nums: i32 = 8,
        /// The cluster's own topic may be used.
        "clusterTopicEnable" cluster_topic_enable: bool = true,
        /// The broker's own topic may be used.
        "brokerTopicEnable" broker_topic_enable: bool = true,
        /// The trace topic exists.
        "traceTopicEnable" trace_topic_enable: bool = false,
        /// Name of the trace topic.
        "msgTraceTopicName" msg_trace_topic_name: String = name::TRACE_TOPIC.to_owned(),
        /// Queues of the revive topic.
        "reviveQueueNum" revive_queue_num: i32 = 8,
        /// System topics can not be changed.
        "validateSystemTopicWhenUpdateTopic" validate_system_topic_when_update_topic: bool = true => live,
        /// Topics may mix kinds of messages.
        "enableMixedMessageType" enable_mixed_message_type: bool = false => live,
        /// Deleting a topic deletes its pop retry topics.
        "clearRetryTopicWhenDeleteTopic" clear_retry_topic_when_delete_topic: bool = true => live,

        /// Members of a group are told when others come and go.
        "notifyConsumerIdsChangedEnable" notify_consumer_ids_changed_enable: bool = true => live,
        /// Consumers are told at once; otherwise every 15 s.
        "realTimeNotifyConsumerChange" real_time_notify_consumer_change: bool = true => live,
        /// Milliseconds for which subscriptions are remembered that were seen only in pulls.
        "subscriptionExpiredTimeout" subscription_expired_timeout: i64 = 600_000,
        /// Messages can be filtered by their properties.
        "enablePropertyFilter" enable_property_filter: bool = false => live,
        /// Which filters a message passes is kept with it; needs `enableConsumeQueueExt`.
        "enableCalcFilterBitMap" enable_calc_filter_bit_map: bool = false,
        /// Retried messages are filtered by the filter of their own topic.
        "filterSupportRetry" filter_support_retry: bool = false => live,
        /// Percent of messages that may pass those bits by chance.
        "maxErrorRateOfBloomFilter" max_error_rate_of_bloom_filter: i32 = 20,
        /// Filters of a topic that those bits are made for.
        "expectConsumerNumUseFilter" expect_consumer_num_use_filter: i32 = 32,
        /// Milliseconds for which the filter of a group is kept that is gone.
        "filterDataCleanTimeSpan" filter_data_clean_time_span: i64 = 86_400_000,
        /// LITE_PULL_MESSAGE is answered.
        "litePullMessageEnable" lite_pull_message_enable: bool = true => live,
        /// Pulls are told another broker of the set to read from.
        "slaveReadEnable" slave_read_enable: bool = false => live,
        /// Offsets are reset here; otherwise clients are told to.
        "useServerSideResetOffset" use_server_side_reset_offset: bool = true => live,
        /// Pull consumers are not let in.
        "rejectPullConsumerEnable" reject_pull_consumer_enable: bool = false => live,
        /// Pulls are held until a message arrives.
        "longPollingEnable" long_polling_enable: bool = true => live,
        /// Longest hold with `longPollingEnable=false`, milliseconds.
        "shortPollingTimeMills" short_polling_time_mills: i64 = 1_000 => live,
        /// Of a hundred pops so many look at the group's retry topic first.
        "popFromRetryProbability" pop_from_retry_probability: i32 = 20,
        /// Popped messages that were not acknowledged go to a retry topic named with `+` instead of `_`.
        "enableRetryTopicV2" enable_retry_topic_v2: bool = false,
        /// With `enableRetryTopicV2` the retry topic named with `_` is still read.
        "retrieveMessageFromPopRetryTopicV1" retrieve_message_from_pop_retry_topic_v1: bool = true,
        /// Popped retries keep the name of their retry topic.
        "popResponseReturnActualRetryTopic" pop_response_return_actual_retry_topic: bool = false,
        /// A new group begins a young queue at its first message even if it wants the newest.
        "initPopOffsetByCheckMsgInMem" init_pop_offset_by_check_msg_in_mem: bool = true,
        /// Most pops that wait.
        "maxPopPollingSize" max_pop_polling_size: usize = 100_000,
        /// Most pops of a group that wait for one queue.
        "popPollingSize" pop_polling_size: usize = 1_024,
        /// Nothing is popped of a queue that has too many messages in flight.
        "enablePopMessageThreshold" enable_pop_message_threshold: bool = false,
        /// Messages of a queue that may be in flight.
        "popInflightMessageThreshold" pop_inflight_message_threshold: usize = 10_000,
        /// Ordered pops that wait are told when a message is visible again.
        "enableNotifyAfterPopOrderLockRelease" enable_notify_after_pop_order_lock_release: bool = true,
        /// Milliseconds between two looks at the revive topic.
        "reviveInterval" revive_interval: i64 = 1_000,
        /// A popped message that could not be handed out again 17 times is given up.
        "skipWhenCKRePutReachMaxTimes" skip_when_ck_re_put_reach_max_times: bool = false,
        /// How groups consume topics when the broker assigns queues.
        "defaultMessageRequestMode" default_message_request_mode: MessageRequestMode = MessageRequestMode::Pull,
        /// With how many further clients a popped queue is shared; 0 and less is all.
        "defaultPopShareQueueNum" default_pop_share_queue_num: i32 = -1,
        /// The broker assigns each client a share of the queues that it asks for; otherwise all.
        "serverLoadBalancerEnable" server_load_balancer_enable: bool = true,
        /// Milliseconds after which name servers are asked again for a topic's queues.
        "loadBalancePollNameServerInterval" load_balance_poll_name_server_interval: i64 = 30_000,
        /// Milliseconds between two writes of the consumer offsets.
        "flushConsumerOffsetInterval" flush_consumer_offset_interval: i64 = 5_000,
        /// Milliseconds between two writes of how far the delay levels came.
        "flushDelayOffsetInterval" flush_delay_offset_interval: i64 = 10_000,
        /// Commits after which the version of the consumer offsets moves.
        "consumerOffsetUpdateVersionStep" consumer_offset_update_version_step: i64 = 500,
        /// Entries of one answer about all topics or groups.
        "splitMetadataSize" split_metadata_size: usize = 2_000 => live,
        /// Region that messages are marked with.
        "regionId" region_id: String = "DefaultRegion".to_owned(),
        /// Clients may send traces.
        "traceOn" trace_on: bool = true,
        /// Sends are refused before this time, milliseconds since the epoch.
        "startAcceptSendRequestTimeStamp" start_accept_send_request_time_stamp: i64 = 0,
        /// Bytes of messages that may wait for the disk under SYNC_FLUSH; further sends are refused as busy.
        "sendBytesInFlightMax" send_bytes_in_flight_max: usize = 268_435_456,
        /// Replies are stored, too.
        "storeReplyMessageEnable" store_reply_message_enable: bool = true,
        /// Messages may be in light queues, too: topics `%LMQ%...` that they name themselves.
        "enableLmq" enable_lmq: bool = false,
        /// Messages are put into the light queues that they name; needs `enableLmq`.
        "enableMultiDispatch" enable_multi_dispatch: bool = false,
        /// Most light queues.
        "maxLmqConsumeQueueNum" max_lmq_consume_queue_num: usize = 20_000,
        /// Transactions are refused.
        "rejectTransactionMessage" reject_transaction_message: bool = false,
        /// Milliseconds after which a producer is asked how its transaction ended.
        "transactionTimeOut" transaction_time_out: i64 = 6_000,
        /// How often a producer is asked.
        "transactionCheckMax" transaction_check_max: i32 = 15,
        /// Milliseconds between two looks for open transactions.
        "transactionCheckInterval" transaction_check_interval: i64 = 30_000,
        /// Characters of a note of ended transactions.
        "transactionOpMsgMaxSize" transaction_op_msg_max_size: usize = 4_096,
        /// Milliseconds after which ended transactions are noted.
        "transactionOpBatchInterval" transaction_op_batch_interval: i64 = 3_000,
    }
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name::check_topic(&name).is_ok() {
        name
    } else {
        "DEFAULT_BROKER".to_owned()
    }
}

fn parse_levels(text: &str) -> Option<Vec<i64>> {
    let parse = |part: &str| {
        let unit = match part.chars().last()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        part.get(..part.len() - 1)?
            .parse::<u32>()
            .ok()
            .map(|number| i64::from(number) * unit)
    };
    text.split(' ').map(parse).collect()
}

fn default_root() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join("store")
}

impl BrokerConfig {
    /// Checks what one key alone can not tell.
    ///
    /// # Errors
    /// The first key that does not fit, with what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.broker_id != 0 {
            let allowed = "0 (a master's id; this version does not replicate)";
            return Err(ConfigError::invalid(
                "brokerId",
                self.broker_id.to_string(),
                allowed,
            ));
        }
        for (key, value) in [
            ("brokerName", &self.broker_name),
            ("brokerClusterName", &self.broker_cluster_name),
        ] {
            // Both become names of topics.
            if name::check_topic(value).is_err() {
                let allowed = "up to 127 characters of a-z A-Z 0-9 % | - _";
                return Err(ConfigError::invalid(key, value, allowed));
            }
        }
        let timer_log = i64::try_from(self.mapped_file_size_timer_log).unwrap_or(i64::MAX);
        for (key, value, low, high) in [
            ("brokerPermission", i64::from(self.broker_permission), 0, 7),
            ("mappedFileSizeTimerLog", timer_log, 4096, 1 << 31),
            (
                "timerMaxDelaySec",
                self.timer_max_delay_sec,
                1,
                i64::from(i32::MAX),
            ),
            (
                "timerCongestNumEachSlot",
                i64::from(self.timer_congest_num_each_slot),
                1,
                i64::from(i32::MAX),
            ),
            (
                "defaultTopicQueueNums",
                i64::from(self.default_topic_queue_nums),
                1,
                65_535,
            ),
            (
                "reviveQueueNum",
                i64::from(self.revive_queue_num),
                1,
                65_535,
            ),
            (
                "maxErrorRateOfBloomFilter",
                i64::from(self.max_error_rate_of_bloom_filter),
                1,
                99,
            ),
            (
                "expectConsumerNumUseFilter",
                i64::from(self.expect_consumer_num_use_filter),
                1,
                1_000_000,
            ),
            (
                "popFromRetryProbability",
                i64::from(self.pop_from_retry_probability),
                0,
                100,
            ),
        ] {
            if !(low..=high).contains(&value) {
                let allowed = format!("whole numbers from {low} to {high}");
                return Err(ConfigError::invalid(key, value.to_string(), allowed));
            }
        }
        if parse_levels(&self.message_delay_level).is_none() {
            let allowed = "delays such as '1s 5s 10m 2h', separated by single spaces";
            return Err(ConfigError::invalid(
                "messageDelayLevel",
                &self.message_delay_level,
                allowed,
            ));
        }
        for (key, value) in [
            ("flushIntervalCommitLog", self.flush_interval_commit_log),
            (
                "flushIntervalConsumeQueue",
                self.flush_interval_consume_queue,
            ),
            (
                "flushCommitLogThoroughInterval",
                self.flush_commit_log_thorough_interval,
            ),
            ("commitIntervalCommitLog", self.commit_interval_commit_log),
            (
                "commitCommitLogThoroughInterval",
                self.commit_commit_log_thorough_interval,
            ),
            (
                "flushConsumeQueueThoroughInterval",
                self.flush_consume_queue_thorough_interval,
            ),
            ("cleanResourceInterval", self.clean_resource_interval),
            (
                "redeleteHangedFileInterval",
                self.redelete_hanged_file_interval,
            ),
            ("syncFlushTimeout", self.sync_flush_timeout),
            ("channelExpiredTimeout", self.channel_expired_timeout),
            ("flushDelayOffsetInterval", self.flush_delay_offset_interval),
            ("reviveInterval", self.revive_interval),
            (
                "loadBalancePollNameServerInterval",
                self.load_balance_poll_name_server_interval,
            ),
            ("timerFlushIntervalMs", self.timer_flush_interval_ms),
            ("timerPrecisionMs", self.timer_precision_ms),
            ("transactionTimeOut", self.transaction_time_out),
            ("transactionCheckInterval", self.transaction_check_interval),
            (
                "transactionOpBatchInterval",
                self.transaction_op_batch_interval,
            ),
        ] {
            if value <= 0 {
                return Err(ConfigError::invalid(
                    key,
                    value.to_string(),
                    "milliseconds from 1",
                ));
            }
        }
        self.name_servers().map(drop)
    }

    /// Delay of each level in milliseconds, from level 1; the defaults if [`BrokerConfig::check`] fails for them.
    pub fn delay_levels_ms(&self) -> Vec<i64> {
        parse_levels(&self.message_delay_level)
            .or_else(|| parse_levels(DELAY_LEVELS))
            .unwrap_or_default()
    }

    /// Milliseconds of a slot of the timer wheel, rounded as the reference does.
    pub fn timer_precision(&self) -> i64 {
        const ALLOWED: [i64; 4] = [1_000, 500, 200, 100];
        let fits = |allowed: &i64| *allowed <= self.timer_precision_ms;
        ALLOWED.into_iter().find(fits).unwrap_or(100)
    }

    /// Whether messages are put into light queues.
    pub fn has_light_queues(&self) -> bool {
        self.enable_lmq && self.enable_multi_dispatch
    }

    /// Options of the message store.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            commit_log_dir: self.store_path_commit_log.clone(),
            commit_log_file_size: self.mapped_file_size_commit_log,
            consume_queue_file_size: self.mapped_file_size_consume_queue,
            append_prop_crc: self.enabled_append_prop_crc,
            force_verify_prop_crc: self.force_verify_prop_crc,
            consume_queue_ext: self.enable_consume_queue_ext,
            consume_queue_ext_file_size: self.mapped_file_size_consume_queue_ext,
            flush: match self.flush_disk_type {
                FlushDiskType::Async => Flush::Async,
                FlushDiskType::Sync => Flush::Sync,
            },
            max_message_size: self.max_message_size,
            file_reserved_time_h: self.file_reserved_time,
            delete_when: self.delete_when.0.clone(),
            delay_levels_ms: self.delay_levels_ms(),
            flush_interval_commit_log_ms: self.flush_interval_commit_log,
            flush_interval_consume_queue_ms: self.flush_interval_consume_queue,
            flush_commit_log_timed: self.flush_commit_log_timed,
            flush_commit_log_least_pages: self.flush_commit_log_least_pages,
            flush_commit_log_thorough_interval_ms: self.flush_commit_log_thorough_interval,
            wake_flush_when_put_message: self.wake_flush_when_put_message,
            transient_store_pool: self.transient_store_pool_enable,
            transient_store_pool_size: self.transient_store_pool_size,
            fast_fail_if_no_buffer: self.fast_fail_if_no_buffer_in_store_pool,
            commit_interval_ms: self.commit_interval_commit_log,
            commit_commit_log_least_pages: self.commit_commit_log_least_pages,
            commit_thorough_interval_ms: self.commit_commit_log_thorough_interval,
            wake_commit_when_put_message: self.wake_commit_when_put_message,
            flush_consume_queue_least_pages: self.flush_consume_queue_least_pages,
            flush_consume_queue_thorough_interval_ms: self.flush_consume_queue_thorough_interval,
            clean_resource_interval_ms: self.clean_resource_interval,
            delete_file_batch_max: self.delete_file_batch_max,
            clean_file_forcibly: self.clean_file_forcibly_enable,
            clean_unconsumed_forcibly: self.clean_unconsumed_forcibly_enable,
            redelete_hanged_file_interval_ms: self.redelete_hanged_file_interval,
            // Clamped as the reference does.
            disk_space_warning_level_ratio: self.disk_space_warning_level_ratio.clamp(35, 90),
            disk_space_clean_forcibly_ratio: self.disk_space_clean_forcibly_ratio.clamp(30, 85),
            disk_max_used_space_ratio: self.disk_max_used_space_ratio.clamp(10, 95),
            max_transfer_bytes_in_memory: self.max_transfer_bytes_on_message_in_memory,
            max_transfer_count_in_memory: self.max_transfer_count_on_message_in_memory,
            max_transfer_bytes_in_disk: self.max_transfer_bytes_on_message_in_disk,
            max_transfer_count_in_disk: self.max_transfer_count_on_message_in_disk,
            access_message_in_memory_max_ratio: self.access_message_in_memory_max_ratio.min(100),
            max_filter_message_size: self.max_filter_message_size,
            message_index: self.message_index_enable,
            max_hash_slot_num: self.max_hash_slot_num,
            max_index_num: self.max_index_num,
            max_msgs_num_batch: self.max_msgs_num_batch,
            light_queues: self.has_light_queues(),
            max_light_queues: self.max_lmq_consume_queue_num,
            ..StoreOptions::new(&self.store_path_root_dir)
        }
    }

    /// The name servers, `host:port` each.
    ///
    /// # Errors
    /// A part is not `host:port`.
    pub fn name_servers(&self) -> Result<Vec<String>, ConfigError> {
        let text = &self.namesrv_addr;
        let parts = text
            .split([';', ','])
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts
            .map(|part| match part.rsplit_once(':') {
                Some((host, port))
                    if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0) =>
                {
                    Ok(part.to_owned())
                }
                _ => {
                    let allowed = "host:port, several separated by ';'";
                    Err(ConfigError::invalid("namesrvAddr", text, allowed))
                }
            })
            .collect()
    }

    /// Where to listen.
    pub fn listen_address(&self) -> SocketAddr {
        SocketAddr::new(super::bind_address(self.bind_address), self.listen_port)
    }

    /// `host:port` that clients are told: `brokerIP1` and the port.
    pub fn advertised_address(&self) -> String {
        self.host_and_port(self.listen_port)
    }

    /// `host:port` for replication, the next port. Nothing listens there in this version.
    pub fn ha_address(&self) -> String {
        self.host_and_port(self.listen_port.saturating_add(1))
    }

    fn host_and_port(&self, port: u16) -> String {
        match &self.broker_ip1 {
            Some(host) if host.contains(':') && !host.starts_with('[') => {
                format!("[{host}]:{port}")
            }
            Some(host) => format!("{host}:{port}"),
            None => SocketAddr::new(self.advertised_ip(), port).to_string(),
        }
    }

    /// The address of [`BrokerConfig::advertised_address`] as far as it is a number; messages carry it.
    pub fn advertised_ip(&self) -> IpAddr {
        if let Some(ip) = self.broker_ip1.as_ref().and_then(|host| host.parse().ok()) {
            return ip;
        }
        let bound = super::bind_address(self.bind_address);
        if bound.is_unspecified() {
            super::local_address()
        } else {
            bound
        }
    }

    /// The keys that can not be changed remotely.
    pub fn black_list(&self) -> String {
        format!(
            "brokerConfigPath;rocketmqHome;configBlackList;{}",
            self.config_black_list
        )
    }

    /// A file of the broker's own tables, below the store.
    pub fn table_path(&self, file: &str) -> PathBuf {
        self.store_path_root_dir.join("config").join(file)
    }
}
