// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Where groups start, what they may, and how their offsets are set from outside. */
final class Groups {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("group_starts_at_first_last_or_time", Groups::starts);
        behaviours.put("group_offset_corrections", Groups::corrections);
        behaviours.put("group_reset_by_time_online", Groups::resetOnline);
        behaviours.put("group_reset_by_time_offline", Groups::resetOffline);
        behaviours.put("group_offsets_cloned", Groups::cloned);
        behaviours.put("group_consume_time_span", Groups::timeSpan);
        behaviours.put("group_broadcast_disabled", Groups::broadcast);
        behaviours.put("group_pull_limits", Groups::limits);
        behaviours.put("group_retry_topic_is_consumed_from_its_beginning", Groups::retried);
    }

    private static List<Message> fill(Cluster cluster, String topic, int from, int to) throws Exception {
        List<Message> sent = new ArrayList<>();
        MessageQueue queue = cluster.queues(topic).get(0);
        for (int i = from; i < to; i++) {
            Message message = Check.message(topic, "TagA", i);
            Check.sent("send " + i, cluster.producer.send(message, queue));
            sent.add(message);
        }
        return sent;
    }

    private static DefaultMQPushConsumer pusher(Cluster cluster, String what, String topic, ConsumeFromWhere where,
        ConcurrentLinkedQueue<MessageExt> got) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(cluster.name(what + "_group"));
        cluster.configure(consumer, what);
        consumer.setConsumeFromWhere(where);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            got.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return consumer;
    }

    private static DefaultMQPullConsumer puller(Cluster cluster, String group, String what) throws Exception {
        DefaultMQPullConsumer made = new DefaultMQPullConsumer(group);
        cluster.configure(made, what);
        made.start();
        return made;
    }

    /** A new group of a topic that holds messages; a message behind them shows that nothing more comes. */
    private static String starts(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("starts", 1);
        List<Message> all = fill(cluster, topic, 0, 10);
        Thread.sleep(2500);
        long between = System.currentTimeMillis() - 1200;
        List<Message> later = fill(cluster, topic, 10, 15);
        all.addAll(later);
        Map<ConsumeFromWhere, List<Message>> expected = Map.of(
            // The topic's first message is still in memory, so a new group begins with it in either case.
            ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, all,
            ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, all,
            ConsumeFromWhere.CONSUME_FROM_TIMESTAMP, all);
        for (Map.Entry<ConsumeFromWhere, List<Message>> entry : expected.entrySet()) {
            ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
            DefaultMQPushConsumer consumer = pusher(cluster, "starts_" + entry.getKey(), topic, entry.getKey(), got);
            consumer.setConsumeTimestamp(UtilAll.timeMillisToHumanString3(between));
            consumer.start();
            try {
                Cluster.awaitSize("messages from " + entry.getKey(), got, entry.getValue().size());
                Thread.sleep(500);
                Check.sameSet(entry.getValue(), got);
            } finally {
                consumer.shutdown();
            }
        }
        return all.size() + " each";
    }

    private static String corrections(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("corrections", 2);
        MessageQueue queue = cluster.queues(topic).get(0);
        MessageQueue empty = cluster.queues(topic).get(1);
        fill(cluster, topic, 0, 5);
        DefaultMQPullConsumer puller = puller(cluster, cluster.name("corrections_group"), "corrections");
        try {
            Cluster.await("max offset 5", () -> puller.maxOffset(queue) == 5 ? true : null);
            long[][] cases = {{5, 5}, {6, 5}, {1_000_000, 5}, {4, 5}, {0, 5}};
            PullStatus[] statuses = {PullStatus.NO_NEW_MSG, PullStatus.OFFSET_ILLEGAL, PullStatus.OFFSET_ILLEGAL, PullStatus.FOUND, PullStatus.FOUND};
            for (int i = 0; i < cases.length; i++) {
                PullResult result = puller.pull(queue, "*", cases[i][0], 32);
                Check.equal("status at " + cases[i][0], statuses[i], result.getPullStatus());
                Check.equal("next at " + cases[i][0], cases[i][1], result.getNextBeginOffset());
                Check.equal("min at " + cases[i][0], 0L, result.getMinOffset());
                Check.equal("max at " + cases[i][0], 5L, result.getMaxOffset());
            }
            PullResult start = puller.pull(empty, "*", 0, 32);
            Check.equal("status of an empty queue at 0", PullStatus.NO_NEW_MSG, start.getPullStatus());
            PullResult beyond = puller.pull(empty, "*", 3, 32);
            Check.equal("status of an empty queue at 3", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
            Check.equal("next of an empty queue at 3", 0L, beyond.getNextBeginOffset());
        } finally {
            puller.shutdown();
        }
        return "at the end, beyond, empty";
    }

    /** Consumed to the end, then reset to the time between two halves: the second half comes again. */
    private static String resetOnline(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("reset_online", 1);
        String group = cluster.name("reset_online_group");
        List<Message> all = fill(cluster, topic, 0, 6);
        Thread.sleep(1500);
        long between = System.currentTimeMillis() - 700;
        List<Message> later = fill(cluster, topic, 6, 10);
        all.addAll(later);
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = pusher(cluster, "reset_online", topic, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, got);
        consumer.start();
        try {
            Cluster.awaitSize("messages", got, 10);
            Check.sameSet(all, got);
            got.clear();
            Map<MessageQueue, Long> offsets = cluster.admin.resetOffsetByTimestamp(topic, group, between, true);
            Check.equal("queues that were reset", 1, offsets.size());
            Check.equal("offset", 6L, offsets.values().iterator().next());
            // A message after the reset comes once, and ends the pull that the reference holds all the same.
            later.addAll(fill(cluster, topic, 10, 11));
            Cluster.awaitSize("messages again", got, 5);
            Thread.sleep(500);
            Check.sameSet(later, got);
        } finally {
            consumer.shutdown();
        }
        return "4 of 10 again";
    }

    private static String resetOffline(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("reset_offline", 1);
        String group = cluster.name("reset_offline_group");
        MessageQueue queue = cluster.queues(topic).get(0);
        fill(cluster, topic, 0, 8);
        // By the administrator: a member that has just gone may still be listed, and would be given the only queue.
        cluster.setGroup(group, "setConsumeEnable", true);
        cluster.admin.updateConsumeOffset(cluster.brokerAddr(), group, queue, 8);
        Map<MessageQueue, Long> offsets = cluster.admin.resetOffsetByTimestamp(topic, group, 0L, true);
        Check.equal("offsets", Map.of(queue, 0L), offsets);
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = pusher(cluster, "reset_offline", topic, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, got);
        consumer.start();
        try {
            Cluster.awaitSize("messages", got, 8);
        } finally {
            consumer.shutdown();
        }
        TreeSet<Long> seen = new TreeSet<>();
        got.forEach(message -> seen.add(message.getQueueOffset()));
        Check.equal("offsets that came", new TreeSet<>(List.of(0L, 1L, 2L, 3L, 4L, 5L, 6L, 7L)), seen);
        return "8 from the beginning";
    }

    private static String cloned(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("cloned", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        fill(cluster, topic, 0, 5);
        String from = cluster.name("cloned_from");
        String to = cluster.name("cloned_to");
        DefaultMQPullConsumer source = puller(cluster, from, "cloned");
        try {
            source.pull(queue, "*", 0, 1);
            source.updateConsumeOffset(queue, 3);
            source.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            Cluster.await("committed offset 3", () -> source.fetchConsumeOffset(queue, true) == 3 ? true : null);
            // The tool finds the broker by the group's retry topic, which comes with the first heartbeat.
            Cluster.await("a route of the retry topic", () -> cluster.admin.examineTopicRouteInfo("%RETRY%" + from));
        } finally {
            source.shutdown();
        }
        cluster.admin.cloneGroupOffset(from, to, topic, true);
        DefaultMQPullConsumer target = puller(cluster, to, "cloned");
        try {
            Check.equal("offset of the other group", 3L, target.fetchConsumeOffset(queue, true));
        } finally {
            target.shutdown();
        }
        return "offset 3";
    }

    private static String timeSpan(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("span", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        fill(cluster, topic, 0, 3);
        String group = cluster.name("span_group");
        DefaultMQPullConsumer puller = puller(cluster, group, "span");
        try {
            List<MessageExt> found = Cluster.await("three messages", () -> {
                PullResult result = puller.pull(queue, "*", 0, 32);
                boolean all = result.getPullStatus() == PullStatus.FOUND && result.getMsgFoundList().size() == 3;
                return all ? result.getMsgFoundList() : null;
            });
            puller.updateConsumeOffset(queue, 2);
            puller.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            Cluster.await("committed offset 2", () -> puller.fetchConsumeOffset(queue, true) == 2 ? true : null);
            var spans = cluster.admin.queryConsumeTimeSpan(topic, group);
            Check.equal("queues", 1, spans.size());
            var span = spans.get(0);
            Check.equal("queue", queue, span.getMessageQueue());
            Check.equal("first", found.get(0).getStoreTimestamp(), span.getMinTimeStamp());
            Check.equal("last", found.get(2).getStoreTimestamp(), span.getMaxTimeStamp());
            Check.equal("consumed", found.get(1).getStoreTimestamp(), span.getConsumeTimeStamp());
            long waiting = System.currentTimeMillis() - found.get(2).getStoreTimestamp();
            Check.isTrue("delay " + span.getDelayTime() + " is at most " + waiting, span.getDelayTime() >= 0 && span.getDelayTime() <= waiting);
        } finally {
            puller.shutdown();
        }
        return "first, last, consumed";
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static void setBroadcasting(DefaultMQPushConsumer consumer) throws Exception {
        for (Method method : DefaultMQPushConsumer.class.getMethods()) {
            if (method.getName().equals("setMessageModel")) {
                method.invoke(consumer, Enum.valueOf((Class<Enum>) method.getParameterTypes()[0], "BROADCASTING"));
                return;
            }
        }
        throw new IllegalStateException("no setMessageModel");
    }

    private static String broadcast(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("broadcast_off", 1);
        String group = cluster.name("broadcast_off_group");
        cluster.setGroup(group, "setConsumeBroadcastEnable", false);
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = pusher(cluster, "broadcast_off", topic, ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, got);
        setBroadcasting(consumer);
        consumer.start();
        try {
            List<Message> sent = fill(cluster, topic, 0, 3);
            Thread.sleep(2000);
            Check.equal("messages while it is not allowed", 0, got.size());
            cluster.setGroup(group, "setConsumeBroadcastEnable", true);
            Cluster.awaitSize("messages once it is allowed", got, 3);
            Check.sameSet(sent, got);
        } finally {
            consumer.shutdown();
        }
        return "0, then 3 messages";
    }

    /** A new group that starts at the end: what it fails to consume comes again, though its retry topic is new as well. */
    private static String retried(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("retried", 1);
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        ConcurrentLinkedQueue<MessageExt> failed = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = pusher(cluster, "retried", topic, ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, got);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            boolean isFirst = messages.get(0).getReconsumeTimes() == 0;
            (isFirst ? failed : got).addAll(messages);
            context.setDelayLevelWhenNextConsume(1);
            return isFirst ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        // Before the group: a message that comes between its two questions for an empty queue's offsets would be passed over.
        List<Message> sent = fill(cluster, topic, 0, 5);
        consumer.start();
        try {
            Cluster.awaitSize("messages that failed", failed, 5);
            Check.sameSet(sent, failed);
            Cluster.awaitSize("messages again", got, 5);
            TreeSet<String> numbers = new TreeSet<>();
            for (MessageExt message : got) {
                Check.equal("tries of " + message, 1, message.getReconsumeTimes());
                Check.equal("topic of " + message, topic, message.getTopic());
                numbers.add(message.getProperty("number"));
            }
            Check.equal("messages again", new TreeSet<>(List.of("0", "1", "2", "3", "4")), numbers);
        } finally {
            consumer.shutdown();
        }
        return "5 failed, 5 again";
    }

    /** At most as many messages as asked for, at most 32 at a time, and at most 256 KiB but at least one. */
    private static String limits(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("limits", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        DefaultMQPullConsumer puller = puller(cluster, cluster.name("limits_group"), "limits");
        try {
            fill(cluster, topic, 0, 40);
            Cluster.await("max offset 40", () -> puller.maxOffset(queue) == 40 ? true : null);
            int[][] cases = {{1, 1}, {7, 7}, {32, 32}, {100, 32}};
            for (int[] numbers : cases) {
                Check.equal("messages of a pull of " + numbers[0], numbers[1], puller.pull(queue, "*", 0, numbers[0]).getMsgFoundList().size());
            }
            for (int i = 0; i < 4; i++) {
                cluster.producer.send(new Message(topic, new byte[i < 3 ? 100_000 : 300_000]), queue);
            }
            // The client compresses bodies above 4 KiB; random ones stay as long as they are.
            Cluster.await("max offset 44", () -> puller.maxOffset(queue) == 44 ? true : null);
            Check.equal("compressed messages", 4, puller.pull(queue, "*", 40, 32).getMsgFoundList().size());
            java.util.Random random = new java.util.Random(1);
            for (int size : new int[] {100_000, 100_000, 100_000, 300_000}) {
                byte[] body = new byte[size];
                random.nextBytes(body);
                cluster.producer.send(new Message(topic, body), queue);
            }
            Cluster.await("max offset 48", () -> puller.maxOffset(queue) == 48 ? true : null);
            Check.equal("messages of 100 KB at a time", 2, puller.pull(queue, "*", 44, 32).getMsgFoundList().size());
            PullResult large = puller.pull(queue, "*", 47, 32);
            Check.equal("messages of 300 KB at a time", 1, large.getMsgFoundList().size());
            Check.equal("body", 300_000, large.getMsgFoundList().get(0).getBody().length);
        } finally {
            puller.shutdown();
        }
        return "1, 7, 32, 256 KiB";
    }

    private Groups() {}
}
