// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** What brokers tell administrators: who is connected, how far groups are, statistics, queues, and cleaning up. */
final class Figures {
    private static final int MESSAGES = 10;
    private static final long TIMEOUT_MS = 10_000;
    private static Figures made;

    final Cluster cluster;
    final String topic;
    final String group;
    final String makers;
    final DefaultMQPushConsumer consumer;

    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("admin_topic_stats", c -> of(c).topicStats());
        behaviours.put("admin_consume_stats", c -> of(c).consumeStats());
        behaviours.put("admin_broker_consume_stats", c -> of(c).brokerConsumeStats());
        behaviours.put("admin_consume_time_span", c -> of(c).timeSpan());
        behaviours.put("admin_producers", c -> of(c).producers());
        behaviours.put("admin_consumer_connection", c -> of(c).consumerConnection());
        behaviours.put("admin_stats_data", c -> of(c).statsData());
        behaviours.put("admin_groups_of_topic", c -> of(c).groupsOfTopic());
        behaviours.put("admin_all_groups", c -> of(c).allGroups());
        behaviours.put("admin_consume_queue", c -> of(c).consumeQueue());
        behaviours.put("admin_clean_up", c -> of(c).cleanUp());
        behaviours.put("admin_runtime_info", c -> of(c).runtimeInfo());
        if (MQVersion.CURRENT_VERSION >= MQVersion.Version.V5_0_0.ordinal()) {
            behaviours.put("admin_topics_by_consumer", c -> of(c).topicsByConsumer());
            behaviours.put("admin_subscription_by_consumer", c -> of(c).subscriptionByConsumer());
            behaviours.put("admin_read_forbidden", Figures::readForbidden);
            behaviours.put("admin_topic_attributes", Figures::topicAttributes);
            behaviours.put("admin_ha_status", Figures::haStatus);
        }
    }

    /** The topic with its messages, its group and its producer, made by whoever comes first. */
    private static synchronized Figures of(Cluster cluster) throws Exception {
        if (made == null) {
            made = new Figures(cluster);
        }
        return made;
    }

    private Figures(Cluster cluster) throws Exception {
        this.cluster = cluster;
        topic = cluster.createTopic("figures", 2);
        group = cluster.name("figures_readers");
        DefaultMQProducer producer = cluster.newProducer("figures");
        makers = producer.getProducerGroup();
        producer.start();
        List<MessageQueue> queues = cluster.queues(topic);
        for (int i = 0; i < MESSAGES; i++) {
            Check.sent("send", producer.send(Check.message(topic, "TagA", i), queues.get(i % 2)));
        }
        Set<String> seen = ConcurrentHashMap.newKeySet();
        consumer = new DefaultMQPushConsumer(group);
        cluster.configure(consumer, "figures");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(300);
        consumer.subscribe(topic, "TagA || TagB");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> seen.add(message.getKeys()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Cluster.awaitSize("consumed messages", seen, MESSAGES);
        Cluster.await("committed offsets", () -> {
            var stats = cluster.admin.examineConsumeStats(group, topic);
            long committed = 0;
            for (var offset : stats.getOffsetTable().values()) {
                committed += offset.getConsumerOffset();
            }
            return committed == MESSAGES ? true : null;
        });
    }

    private String topicStats() throws Exception {
        var table = cluster.admin.examineTopicStats(topic).getOffsetTable();
        Check.equal("queues", 2, table.size());
        for (var entry : table.entrySet()) {
            Check.equal("topic", topic, entry.getKey().getTopic());
            Check.equal("first offset", 0L, entry.getValue().getMinOffset());
            Check.equal("end", (long) MESSAGES / 2, entry.getValue().getMaxOffset());
            recent("last message", entry.getValue().getLastUpdateTimestamp());
        }
        return "2 queues";
    }

    private String consumeStats() throws Exception {
        var stats = cluster.admin.examineConsumeStats(group);
        int queues = 0;
        for (var entry : stats.getOffsetTable().entrySet()) {
            if (!entry.getKey().getTopic().equals(topic)) {
                continue;
            }
            queues++;
            Check.equal("broker offset", (long) MESSAGES / 2, entry.getValue().getBrokerOffset());
            Check.equal("consumer offset", (long) MESSAGES / 2, entry.getValue().getConsumerOffset());
            recent("last consumed message", entry.getValue().getLastTimestamp());
        }
        Check.equal("queues", 2, queues);
        Check.equal("lag", 0L, cluster.admin.examineConsumeStats(group, topic).computeTotalDiff());
        return "no lag in 2 queues";
    }

    private String brokerConsumeStats() throws Exception {
        var all = cluster.admin.fetchConsumeStatsInBroker(cluster.brokerAddr(), false, TIMEOUT_MS);
        Check.equal("address", cluster.brokerAddr(), all.getBrokerAddr());
        int found = 0;
        for (var groups : all.getConsumeStatsList()) {
            for (var stats : groups.getOrDefault(group, List.of())) {
                for (var entry : stats.getOffsetTable().entrySet()) {
                    if (entry.getKey().getTopic().equals(topic)) {
                        found++;
                        Check.equal("consumed", (long) MESSAGES / 2, entry.getValue().getConsumerOffset());
                    }
                }
            }
        }
        Check.equal("queues of the group", 2, found);
        return "2 queues among " + all.getConsumeStatsList().size() + " groups";
    }

    private String timeSpan() throws Exception {
        var spans = cluster.admin.queryConsumeTimeSpan(topic, group);
        Check.equal("queues", 2, spans.size());
        for (var span : spans) {
            Check.equal("topic", topic, span.getMessageQueue().getTopic());
            recent("first message", span.getMinTimeStamp());
            recent("last message", span.getMaxTimeStamp());
            Check.equal("consumed up to the last", span.getMaxTimeStamp(), span.getConsumeTimeStamp());
            Check.equal("nothing waits", 0L, span.getDelayTime());
        }
        return "2 spans";
    }

    private String producers() throws Exception {
        // The heartbeat of its start goes to no broker, as it knows none yet; the next follows after a second.
        var connections = Cluster.await("a heartbeat of " + makers, () ->
            cluster.admin.examineProducerConnectionInfo(makers, topic).getConnectionSet());
        Check.equal("producers of the group", 1, connections.size());
        var connection = connections.iterator().next();
        Check.equal("version", MQVersion.CURRENT_VERSION, connection.getVersion());
        Check.equal("language", "JAVA", connection.getLanguage().toString());
        Check.isTrue("address " + connection.getClientAddr(), connection.getClientAddr().startsWith("127.0.0.1:"));
        var all = cluster.admin.getAllProducerInfo(cluster.brokerAddr()).getData();
        var ours = all.get(makers);
        Check.isTrue("the group among " + all.keySet(), ours != null && ours.size() == 1);
        Check.equal("client", connection.getClientId(), ours.get(0).getClientId());
        Check.equal("address", "/" + connection.getClientAddr(), ours.get(0).getRemoteIP());
        recent("last heartbeat", ours.get(0).getLastUpdateTimestamp());
        Check.equal("code of an unknown group", 1, clientCode(() ->
            cluster.admin.examineProducerConnectionInfo(cluster.name("nobody"), topic)));
        return all.size() + " groups";
    }

    private String consumerConnection() throws Exception {
        var connection = cluster.admin.examineConsumerConnectionInfo(group);
        Check.equal("members", 1, connection.getConnectionSet().size());
        Check.equal("client", consumer.buildMQClientId(), connection.getConnectionSet().iterator().next().getClientId());
        Check.equal("type", "CONSUME_PASSIVELY", connection.getConsumeType().name());
        Check.equal("model", "CLUSTERING", connection.getMessageModel().name());
        Check.equal("from", "CONSUME_FROM_FIRST_OFFSET", connection.getConsumeFromWhere().name());
        var subscription = connection.getSubscriptionTable().get(topic);
        Check.equal("expression", "TagA || TagB", subscription.getSubString());
        Check.equal("tags", Set.of("TagA", "TagB"), subscription.getTagsSet());
        Check.isTrue("the retry topic", connection.getSubscriptionTable().containsKey("%RETRY%" + group));
        return connection.getSubscriptionTable().size() + " subscriptions";
    }

    private String statsData() throws Exception {
        String broker = cluster.brokerAddr();
        String key = topic + "@" + group;
        Check.equal("put in the last minute", (long) MESSAGES, minuteSum("TOPIC_PUT_NUMS", topic));
        Check.equal("got in the last minute", (long) MESSAGES, minuteSum("GROUP_GET_NUMS", key));
        var put = cluster.admin.viewBrokerStatsData(broker, "TOPIC_PUT_NUMS", topic).getStatsMinute();
        Check.equal("messages a send", 1.0, put.getAvgpt());
        Check.isTrue("a rate", put.getTps() > 0);
        long bytes = minuteSum("TOPIC_PUT_SIZE", topic);
        Check.isTrue("bytes put " + bytes, bytes > MESSAGES * 100);
        Check.equal("bytes got", bytes, minuteSum("GROUP_GET_SIZE", key));
        Check.isTrue("reads", cluster.admin.viewBrokerStatsData(broker, "GROUP_GET_LATENCY", "0@" + key) != null);
        String name = cluster.admin.examineBrokerClusterInfo().getClusterAddrTable().keySet().iterator().next();
        Check.isTrue("of the whole broker", minuteSum("BROKER_PUT_NUMS", name) >= MESSAGES);
        Check.equal("code of an unknown key", 1, clientCode(() ->
            cluster.admin.viewBrokerStatsData(broker, "TOPIC_PUT_NUMS", cluster.name("never_sent"))));
        Check.equal("code of an unknown item", 1, clientCode(() -> cluster.admin.viewBrokerStatsData(broker, "NO_SUCH_ITEM", topic)));
        return MESSAGES + " messages, " + bytes + " bytes";
    }

    /** Samples are taken each ten seconds, in the reference of each item at a time of its own. */
    private long minuteSum(String item, String key) throws Exception {
        return Cluster.await("samples of " + item, () -> {
            long sum = cluster.admin.viewBrokerStatsData(cluster.brokerAddr(), item, key).getStatsMinute().getSum();
            return sum > 0 ? sum : null;
        });
    }

    private String groupsOfTopic() throws Exception {
        var groups = cluster.admin.queryTopicConsumeByWho(topic).getGroupList();
        Check.equal("groups", Set.of(group), Set.copyOf(groups));
        return groups.toString();
    }

    private String allGroups() throws Exception {
        var all = cluster.admin.getAllSubscriptionGroup(cluster.brokerAddr(), TIMEOUT_MS).getSubscriptionGroupTable();
        Check.isTrue("the group among " + all.keySet(), all.containsKey(group));
        Check.equal("tries", 16, all.get(group).getRetryMaxTimes());
        Check.isTrue("a built-in group among " + all.keySet(), all.containsKey("TOOLS_CONSUMER"));
        var users = cluster.admin.getUserSubscriptionGroup(cluster.brokerAddr(), TIMEOUT_MS).getSubscriptionGroupTable();
        Check.isTrue("the group among " + users.keySet(), users.containsKey(group) && !users.containsKey("TOOLS_CONSUMER"));
        return all.size() + " groups";
    }

    private String consumeQueue() throws Exception {
        var found = cluster.admin.queryConsumeQueue(cluster.brokerAddr(), topic, 1, 1, 3, group);
        Check.equal("first", 0L, found.getMinQueueIndex());
        Check.equal("end", (long) MESSAGES / 2, found.getMaxQueueIndex());
        Check.equal("units", 3, found.getQueueData().size());
        long last = -1;
        for (var unit : found.getQueueData()) {
            Check.equal("tags code", (long) "TagA".hashCode(), unit.getTagsCode());
            Check.isTrue("records follow each other", unit.getPhysicOffset() > last && unit.getPhysicSize() > 91);
            last = unit.getPhysicOffset();
        }
        Check.equal("subscription", "TagA || TagB", found.getSubscriptionData().getSubString());
        return "3 units, the last at " + last;
    }

    private String cleanUp() throws Exception {
        Check.isTrue("consume queues", cluster.admin.cleanExpiredConsumerQueueByAddr(cluster.brokerAddr()));
        Check.isTrue("unused topics", cluster.admin.cleanUnusedTopicByAddr(cluster.brokerAddr()));
        Check.equal("the messages are still there", MESSAGES, cluster.readAll(topic).size());
        return "cleaned, " + MESSAGES + " messages left";
    }

    private String runtimeInfo() throws Exception {
        Map<String, String> table = cluster.admin.fetchBrokerRuntimeStats(cluster.brokerAddr()).getTable();
        for (String name : List.of("brokerVersionDesc", "putTps", "getTotalTps", "getFoundTps", "getMissTps", "commitLogDiskRatio",
            "consumeQueueDiskRatio", "putMessageDistributeTime", "remainHowManyDataToFlush", "commitLogDirCapacity",
            "sendThreadPoolQueueSize", "dispatchBehindBytes", "earliestMessageTimeStamp", "msgPutTotalYesterdayMorning", "runtime")) {
            Check.isTrue(name + " in " + table.keySet(), table.containsKey(name));
        }
        Check.isTrue("put today", Long.parseLong(table.get("msgPutTotalTodayNow")) >= MESSAGES);
        Check.isTrue("got today", Long.parseLong(table.get("msgGetTotalTodayNow")) >= MESSAGES);
        Check.isTrue("bytes put", Long.parseLong(table.get("putMessageSizeTotal")) > MESSAGES * 100);
        Check.isTrue("log", Long.parseLong(table.get("commitLogMaxOffset")) > Long.parseLong(table.get("commitLogMinOffset")));
        recent("start", Long.parseLong(table.get("bootTimestamp")));
        return table.size() + " figures";
    }

    private String topicsByConsumer() throws Exception {
        Object list = call(cluster, "queryTopicsByConsumer", group);
        Set<?> topics = (Set<?>) list.getClass().getMethod("getTopicList").invoke(list);
        Check.isTrue(topic + " in " + topics, topics.contains(topic));
        return topics.toString();
    }

    private String subscriptionByConsumer() throws Exception {
        Object data = call(cluster, "querySubscription", group, topic);
        Check.equal("expression", "TagA || TagB", data.getClass().getMethod("getSubString").invoke(data));
        return data.toString();
    }

    private static String readForbidden(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("forbidden", 1);
        String group = cluster.name("forbidden_readers");
        Object asked = call(cluster, "updateAndGetGroupReadForbidden", cluster.brokerAddr(), group, topic, null);
        Check.equal("readable at first", true, asked.getClass().getMethod("getReadable").invoke(asked));
        for (boolean readable : new boolean[] {false, true}) {
            Object set = call(cluster, "updateAndGetGroupReadForbidden", cluster.brokerAddr(), group, topic, readable);
            Check.equal("readable", readable, set.getClass().getMethod("getReadable").invoke(set));
            Check.equal("group", group, set.getClass().getMethod("getGroup").invoke(set));
        }
        return "forbidden and allowed again";
    }

    private static String topicAttributes(Cluster cluster) throws Exception {
        String topic = cluster.name("attributes");
        var config = new org.apache.rocketmq.common.TopicConfig(topic, 3, 2, 6);
        config.getClass().getMethod("setAttributes", Map.class).invoke(config, Map.of("+message.type", "FIFO"));
        cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), config);
        var made = cluster.admin.examineTopicConfig(cluster.brokerAddr(), topic);
        Check.equal("queues", List.of(3, 2), List.of(made.getReadQueueNums(), made.getWriteQueueNums()));
        Check.equal("attributes", Map.of("message.type", "FIFO"), made.getClass().getMethod("getAttributes").invoke(made));
        config.getClass().getMethod("setAttributes", Map.class).invoke(config, Map.of("-message.type", ""));
        cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), config);
        made = cluster.admin.examineTopicConfig(cluster.brokerAddr(), topic);
        Check.equal("attributes", Map.of(), made.getClass().getMethod("getAttributes").invoke(made));
        for (String bad : List.of("+message.type=SHINY", "+no.such.key=1", "-message.type=")) {
            String[] parts = bad.split("=", 2);
            config.getClass().getMethod("setAttributes", Map.class).invoke(config, Map.of(parts[0], parts[1]));
            int code = clientCode(() -> cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), config));
            Check.equal("code of " + bad, 1, code);
        }
        return "FIFO and back";
    }

    private static String haStatus(Cluster cluster) throws Exception {
        Object info = call(cluster, "getBrokerHAStatus", cluster.brokerAddr());
        Check.equal("master", true, info.getClass().getMethod("isMaster").invoke(info));
        Check.equal("slaves in sync", 0, info.getClass().getMethod("getInSyncSlaveNums").invoke(info));
        Check.equal("slaves", List.of(), info.getClass().getMethod("getHaConnectionInfo").invoke(info));
        long end = (Long) info.getClass().getMethod("getMasterCommitLogMaxOffset").invoke(info);
        Check.isTrue("end of the log " + end, end > 0);
        return "no slaves, log ends at " + end;
    }

    /** Calls a method that only clients of version 5 have. */
    private static Object call(Cluster cluster, String name, Object... arguments) throws Exception {
        for (Method method : cluster.admin.getClass().getMethods()) {
            if (method.getName().equals(name) && method.getParameterCount() == arguments.length) {
                try {
                    return method.invoke(cluster.admin, arguments);
                } catch (InvocationTargetException e) {
                    throw e.getCause() instanceof Exception cause ? cause : e;
                }
            }
        }
        throw new IllegalStateException("no " + name + " with " + arguments.length + " arguments");
    }

    private interface Call {
        void run() throws Exception;
    }

    /** Code with which the broker refuses, told as either exception. */
    private static int clientCode(Call call) throws Exception {
        try {
            call.run();
        } catch (MQClientException e) {
            return e.getResponseCode();
        } catch (MQBrokerException e) {
            return e.getResponseCode();
        }
        throw new AssertionError("not refused");
    }

    private static void recent(String what, long timestamp) {
        Check.isTrue(what + " is recent: " + timestamp, Math.abs(System.currentTimeMillis() - timestamp) < 600_000);
    }
}
