// SPDX-License-Identifier: Apache-2.0
//! The sub-commands of the official `mqadmin` 5.5.0 that are run on official and on our servers, and how alike their
//! output has to be.

use super::shape::Shape::{self, Alike, Codes, Keys, Rows, Same, Within};

/// One command.
pub(super) struct Step {
    /// Its words; those in braces are replaced by `AdminTool.java`.
    pub(super) line: &'static str,
    pub(super) shape: Shape,
}

const fn step(line: &'static str, shape: Shape) -> Step {
    Step { line, shape }
}

/// Keys of the broker that the reference does not have.
const OUR_KEYS: &[&str] = &["cleanUnconsumedForciblyEnable", "sendBytesInFlightMax"];

/// In this order on fresh servers; what one makes, others look at.
pub(super) const STEPS: &[Step] = &[
    // Topics.
    step(
        "updateTopic -b {broker} -t made -r 6 -w 5 -p 6 -a +message.type=NORMAL",
        Same,
    ),
    step(
        "updateTopic -c DefaultCluster -t made_wide -r 3 -w 3 -o true",
        Same,
    ),
    step(
        "updateTopic -b {broker} -t made -a +message.type=NONE",
        Codes,
    ),
    step("updateTopic -b {broker} -t bad/name", Codes),
    step("updateTopicList -b {broker} -f {dir}/topics.json", Same),
    step("updateTopicPerm -b {broker} -t made -p 4", Same),
    step("updateTopicPerm -c DefaultCluster -t made -p 6", Same),
    step("topicRoute -t made", Same),
    step("topicRoute -t data -l", Same),
    step("topicRoute -t no_such_topic", Codes),
    step("topicStatus -t data", Same),
    step("topicStatus -t made", Same),
    step("topicClusterList -t data", Same),
    step("topicList", Same),
    step("topicList -c DefaultCluster", Same),
    step("updateOrderConf -t made -v broker-a:4 -m put", Same),
    step("updateOrderConf -t made -m get", Same),
    step("updateOrderConf -t made -m delete", Same),
    step("allocateMQ -t data -i 10.0.0.1,10.0.0.2", Same),
    // Groups and offsets.
    step("updateSubGroup -b {broker} -g made_group -q 2 -r 3", Same),
    step(
        "updateSubGroup -c DefaultCluster -g made_group -s false",
        Same,
    ),
    step("updateSubGroupList -b {broker} -f {dir}/groups.json", Same),
    step("getConsumerConfig -g made_group", Same),
    step("getConsumerConfig -g no_such_group", Same),
    step(
        "setConsumeMode -b {broker} -t data -g made_group -m POP -q 1",
        Same,
    ),
    step("consumerProgress -g readers", Same),
    step("consumerProgress -g readers -t data", Same),
    step("consumerProgress -g readers -s true", Same),
    step("consumerProgress", Rows),
    step("consumerProgress -g no_such_group", Codes),
    step("brokerConsumeStats -b {broker}", Same),
    step("brokerConsumeStats -b {broker} -o true", Same),
    step("consumerConnection -g readers", Alike),
    step("consumerConnection -g no_such_group", Codes),
    step("consumerStatus -g readers", Rows),
    step("producerConnection -g makers -t data", Alike),
    step("producerConnection -g nobody -t data", Codes),
    step("producer -b {broker}", Rows),
    step("deleteSubGroup -b {broker} -g made_group -r true", Same),
    step("deleteSubGroup -c DefaultCluster -g listed_group", Same),
    // Messages.
    step("queryMsgById -t data -i {offsetId}", Same),
    step("queryMsgByKey -t data -k key3", Same),
    step("queryMsgByKey -t data -k no_such_key", Codes),
    step("queryMsgByUniqueKey -t data -i {uniqueId}", Same),
    step("queryMsgByOffset -t data -b broker-a -i 0 -o 0", Same),
    step("queryMsgTraceById -i {uniqueId}", Codes),
    step("printMsg -t data -d true", Same),
    step(
        "printMsgByQueue -t data -a broker-a -i 1 -p true -d true -f true",
        Same,
    ),
    step("queryCq -t data -q 0 -i 0 -c 2 -b {broker}", Same),
    step(
        "queryCq -t data -q 0 -i 0 -c 2 -b {broker} -g readers",
        Same,
    ),
    step("queryCq -t data -q 0 -i 99 -c 2 -b {broker}", Codes),
    step("queryCq -t data -q 77 -i 0 -c 2 -b {broker}", Codes),
    step(
        "sendMessage -t data -p hello -k sent -c TagB -b broker-a -i 2",
        Same,
    ),
    step("consumeMessage -t data -b broker-a -i 0 -o 0 -c 2", Same),
    step("sendMsgStatus -b broker-a -s 100 -c 3", Rows),
    step("checkMsgSendRT -t data -a 3 -s 100", Alike),
    // Broker and cluster.
    step("clusterList", Alike),
    step("clusterList -m", Alike),
    step("brokerStatus -b {broker}", Keys),
    step("brokerStatus -c DefaultCluster", Keys),
    step("statsAll", Rows),
    step("statsAll -t data", Alike),
    step("getBrokerConfig -b {broker}", Within(OUR_KEYS)),
    step(
        "updateBrokerConfig -b {broker} -k fileReservedTime -v 48",
        Same,
    ),
    step("haStatus -b {broker}", Alike),
    step("getBrokerEpoch -b broker-a", Codes),
    step("resetMasterFlushOffset -b {broker} -o 0", Same),
    step("cleanExpiredCQ -b {broker}", Same),
    step("cleanExpiredCQ -c DefaultCluster", Same),
    step("cleanUnusedTopic -b {broker}", Same),
    step("cleanUnusedTopic -c DefaultCluster", Same),
    step("deleteExpiredCommitLog -b {broker}", Same),
    step("deleteExpiredCommitLog -c DefaultCluster", Same),
    step(
        "updateColdDataFlowCtrGroupConfig -b {broker} -g readers -v 1000",
        Same,
    ),
    step("getColdDataFlowCtrInfo -b {broker}", Same),
    step(
        "removeColdDataFlowCtrGroupConfig -b {broker} -g readers",
        Same,
    ),
    step("getColdDataFlowCtrInfo -c DefaultCluster", Same),
    step("setCommitLogReadAheadMode -b {broker} -m 1", Same),
    step("setCommitLogReadAheadMode -b {broker} -m 0", Same),
    step("setCommitLogReadAheadMode -b {broker} -m 7", Codes),
    step("exportMetadata -b {broker} -f {dir}/export_broker", Same),
    step(
        "exportMetadata -c DefaultCluster -f {dir}/export_cluster",
        Same,
    ),
    step(
        "exportConfigs -c DefaultCluster -f {dir}/export_configs",
        Same,
    ),
    step(
        "exportMetrics -c DefaultCluster -f {dir}/export_metrics",
        Same,
    ),
    step("exportPopRecord -b {broker}", Same),
    step("rocksDBConfigToJson -b {broker} -t topics", Codes),
    step(
        "checkRocksdbCqWriteProgress -c DefaultCluster -t data -cf 0",
        Codes,
    ),
    // Name server.
    step("updateKvConfig -s space -k a -v b", Same),
    step("deleteKvConfig -s space -k a", Same),
    step("getNamesrvConfig", Within(&[])),
    step("updateNamesrvConfig -k orderMessageEnable -v true", Same),
    step("wipeWritePerm -b broker-a", Same),
    step("addWritePerm -b broker-a", Same),
    // Users and policies, which nobody keeps here.
    step("createUser -b {broker} -u user -p secret", Codes),
    step("updateUser -b {broker} -u user -p other", Codes),
    step("getUser -b {broker} -u user", Codes),
    step("listUser -b {broker}", Codes),
    step("deleteUser -b {broker} -u user", Codes),
    step(
        "createAcl -b {broker} -s User:user -r Topic:data -a Pub -d Allow",
        Codes,
    ),
    step(
        "updateAcl -b {broker} -s User:user -r Topic:data -a Sub -d Allow",
        Codes,
    ),
    step("getAcl -b {broker} -s User:user", Codes),
    step("listAcl -b {broker}", Codes),
    step("deleteAcl -b {broker} -s User:user", Codes),
    // Last: they change what the others look at.
    step(
        "cloneGroupOffset -s readers -d nobody -t data -o true",
        Codes,
    ),
    step("updateSubGroup -b {broker} -g clones", Same),
    step(
        "cloneGroupOffset -s readers -d clones -t data -o true",
        Same,
    ),
    step("consumerProgress -g clones", Codes),
    step("resetOffsetByTime -g readers -t data -s now", Rows),
    step("skipAccumulatedMessage -g readers -t data", Rows),
    step("deleteTopic -c DefaultCluster -t made", Same),
    step("topicList", Same),
];

/// Commands that do not apply, and why.
pub(super) const NOT_APPLICABLE: &[(&str, &str)] = &[
    ("addBroker", "broker containers"),
    ("removeBroker", "broker containers"),
    ("updateStaticTopic", "static topics"),
    ("remappingStaticTopic", "static topics"),
    ("getSyncStateSet", "controller"),
    ("getControllerMetaData", "controller"),
    ("getControllerConfig", "controller"),
    ("updateControllerConfig", "controller"),
    ("electMaster", "controller"),
    ("cleanBrokerMetadata", "controller"),
    ("switchTimerEngine", "timers in RocksDB"),
    (
        "getBrokerLiteInfo",
        "lite topics, which need queues in RocksDB",
    ),
    (
        "getParentTopicInfo",
        "lite topics, which need queues in RocksDB",
    ),
    (
        "getLiteTopicInfo",
        "lite topics, which need queues in RocksDB",
    ),
    (
        "getLiteClientInfo",
        "lite topics, which need queues in RocksDB",
    ),
    (
        "getLiteGroupInfo",
        "lite topics, which need queues in RocksDB",
    ),
    (
        "triggerLiteDispatch",
        "lite topics, which need queues in RocksDB",
    ),
    ("exportMetadataInRocksDB", "reads a directory of RocksDB"),
    ("dumpCompactionLog", "reads a file of a compacted topic"),
    ("copyUser", "users between two brokers that keep them"),
    ("copyAcl", "policies between two brokers that keep them"),
    (
        "startMonitoring",
        "runs for ever; asks for what consumerProgress and consumerStatus do",
    ),
    ("clusterRT", "runs for ever; sends as checkMsgSendRT does"),
];
