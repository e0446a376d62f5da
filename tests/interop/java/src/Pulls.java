// SPDX-License-Identifier: Apache-2.0

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The pull consumer's requests one by one, and the lite pull consumer. */
final class Pulls {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("pull_status_and_tag_filter", Pulls::statuses);
        behaviours.put("pull_held_until_a_message_arrives", Pulls::held);
        behaviours.put("pull_errors", Pulls::errors);
        behaviours.put("offsets_min_max_by_time_and_commit", Pulls::offsets);
        behaviours.put("lite_pull_assign_seek", Pulls::liteAssign);
        behaviours.put("lite_pull_subscribe_continues_without_repeat", Pulls::liteSubscribe);
    }

    private static DefaultMQPullConsumer puller(Cluster cluster, String what) throws Exception {
        DefaultMQPullConsumer made = new DefaultMQPullConsumer(cluster.name(what + "_group"));
        cluster.configure(made, what);
        made.start();
        return made;
    }

    /** Sends to one queue, alternately TagA and TagB. */
    private static List<Message> fill(Cluster cluster, MessageQueue queue, int count) throws Exception {
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Message message = Check.message(queue.getTopic(), i % 2 == 0 ? "TagA" : "TagB", i);
            Check.sent("send " + i, cluster.producer.send(message, queue));
            sent.add(message);
        }
        return sent;
    }

    private static String statuses(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("pull", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        List<Message> sent = fill(cluster, queue, 30);
        DefaultMQPullConsumer puller = puller(cluster, "pull");
        try {
            Cluster.await("max offset 30", () -> puller.maxOffset(queue) == 30 ? true : null);
            PullResult all = puller.pull(queue, "*", 0, 32);
            Check.equal("status", PullStatus.FOUND, all.getPullStatus());
            Check.sameSet(sent, all.getMsgFoundList());
            Check.equal("min offset", 0L, all.getMinOffset());
            Check.equal("max offset", 30L, all.getMaxOffset());
            Check.equal("next", 30L, all.getNextBeginOffset());

            PullResult ten = puller.pull(queue, "*", 5, 10);
            Check.sameSet(sent.subList(5, 15), ten.getMsgFoundList());
            Check.equal("next after ten", 15L, ten.getNextBeginOffset());

            PullResult tagged = puller.pull(queue, "TagA", 0, 32);
            Check.equal("status by tag", PullStatus.FOUND, tagged.getPullStatus());
            List<Message> tagA = new ArrayList<>();
            for (Message message : sent) {
                if (message.getTags().equals("TagA")) {
                    tagA.add(message);
                }
            }
            Check.sameSet(tagA, tagged.getMsgFoundList());

            PullResult none = puller.pull(queue, "TagZ", 0, 32);
            Check.equal("status without a match", PullStatus.NO_MATCHED_MSG, none.getPullStatus());
            Check.equal("next without a match", 30L, none.getNextBeginOffset());

            PullResult end = puller.pull(queue, "*", 30, 32);
            Check.equal("status at the end", PullStatus.NO_NEW_MSG, end.getPullStatus());
            Check.equal("next at the end", 30L, end.getNextBeginOffset());

            PullResult beyond = puller.pull(queue, "*", 1000, 32);
            Check.equal("status beyond the end", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
            Check.equal("next beyond the end", 30L, beyond.getNextBeginOffset());
        } finally {
            puller.shutdown();
        }
        return "FOUND, NO_MATCHED_MSG, NO_NEW_MSG, OFFSET_ILLEGAL";
    }

    private static String held(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("held", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        DefaultMQPullConsumer puller = puller(cluster, "held");
        try {
            Check.equal("status of an empty queue", PullStatus.NO_NEW_MSG, puller.pull(queue, "*", 0, 32).getPullStatus());
            CompletableFuture<PullResult> pending = blocking(puller, queue, 0);
            Thread.sleep(500);
            Check.isTrue("the pull is held", !pending.isDone());
            // A message of another tag may be answered with "no match, go on from there", never delivered.
            cluster.producer.send(Check.message(topic, "TagA", 0), queue);
            Thread.sleep(200);
            Message wanted = Check.message(topic, "TagB", 1);
            long start = System.nanoTime();
            cluster.producer.send(wanted, queue);
            PullResult result = pending.get(20, TimeUnit.SECONDS);
            while (result.getPullStatus() == PullStatus.NO_MATCHED_MSG) {
                result = blocking(puller, queue, result.getNextBeginOffset()).get(20, TimeUnit.SECONDS);
            }
            long ms = Duration.ofNanos(System.nanoTime() - start).toMillis();
            Check.equal("status", PullStatus.FOUND, result.getPullStatus());
            Check.sameSet(List.of(wanted), result.getMsgFoundList());
            Check.equal("next", 2L, result.getNextBeginOffset());
            Check.isTrue("woken on arrival, not by the next scan: " + ms + " ms", ms < 3000);
            return "answered " + ms + " ms after the send began";
        } finally {
            puller.shutdown();
        }
    }

    private static CompletableFuture<PullResult> blocking(DefaultMQPullConsumer puller, MessageQueue queue, long offset) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return puller.pullBlockIfNotFound(queue, "TagB", offset, 32);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
    }

    private static String errors(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("errors", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        DefaultMQPullConsumer puller = puller(cluster, "errors");
        StringBuilder seen = new StringBuilder();
        try {
            puller.pull(queue, "*", 0, 1);
            MessageQueue unknown = new MessageQueue(cluster.name("no_such_topic"), queue.getBrokerName(), 0);
            MQBrokerException noTopic = refused("pull of an unknown topic", () -> puller.pull(unknown, "*", 0, 1));
            Check.equal("code for an unknown topic", 17, noTopic.getResponseCode());
            Check.isTrue("remark names the topic: " + noTopic.getErrorMessage(), noTopic.getErrorMessage().contains(unknown.getTopic()));
            MessageQueue outside = new MessageQueue(topic, queue.getBrokerName(), 77);
            MQBrokerException noQueue = refused("pull of queue 77", () -> puller.pull(outside, "*", 0, 1));
            Check.isTrue("remark names the queue: " + noQueue.getErrorMessage(), noQueue.getErrorMessage().contains("77"));
            seen.append("unknown topic ").append(noTopic.getResponseCode()).append(", queue out of range ").append(noQueue.getResponseCode());
        } finally {
            puller.shutdown();
        }
        return seen.toString();
    }

    interface Request {
        Object run() throws Exception;
    }

    static MQBrokerException refused(String what, Request request) throws Exception {
        try {
            Object answer = request.run();
            throw new AssertionError(what + " was not refused: " + answer);
        } catch (MQBrokerException e) {
            return e;
        }
    }

    private static String offsets(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("offsets", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        DefaultMQPullConsumer puller = puller(cluster, "offsets");
        try {
            Check.equal("max of an empty queue", 0L, puller.maxOffset(queue));
            Check.equal("min of an empty queue", 0L, puller.minOffset(queue));
            Check.equal("offset never committed", -1L, puller.fetchConsumeOffset(queue, true));
            long before = System.currentTimeMillis();
            fill(cluster, queue, 10);
            Cluster.await("max offset 10", () -> puller.maxOffset(queue) == 10 ? true : null);
            Check.equal("min", 0L, puller.minOffset(queue));
            MessageExt fifth = puller.pull(queue, "*", 5, 1).getMsgFoundList().get(0);
            MessageExt fourth = puller.pull(queue, "*", 4, 1).getMsgFoundList().get(0);
            long byTime = puller.searchOffset(queue, fifth.getStoreTimestamp());
            Check.isTrue("offset by the store time of message 5: " + byTime,
                byTime == 5 || byTime < 5 && fourth.getStoreTimestamp() == fifth.getStoreTimestamp());
            Check.equal("offset by a time before all", 0L, puller.searchOffset(queue, before - 3_600_000));
            long after = puller.searchOffset(queue, System.currentTimeMillis() + 3_600_000);
            Check.isTrue("offset by a time after all: " + after, after == 9 || after == 10);
            long earliest = puller.earliestMsgStoreTime(queue);
            Check.isTrue("earliest store time " + earliest, earliest >= before - 1000 && earliest <= before + 600_000);

            puller.updateConsumeOffset(queue, 7);
            puller.getDefaultMQPullConsumerImpl().getOffsetStore().persist(queue);
            Cluster.await("committed offset 7", () -> puller.fetchConsumeOffset(queue, true) == 7 ? true : null);
            return "time after all gives " + after;
        } finally {
            puller.shutdown();
        }
    }

    static DefaultLitePullConsumer lite(Cluster cluster, String what) {
        DefaultLitePullConsumer made = new DefaultLitePullConsumer(cluster.name(what + "_group"));
        cluster.configure(made, what);
        made.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        made.setAutoCommit(false);
        return made;
    }

    /** Polls until there are that many or more. */
    static List<MessageExt> pollUntil(DefaultLitePullConsumer consumer, int count) throws Exception {
        List<MessageExt> got = new ArrayList<>();
        Cluster.await(count + " messages polled", () -> {
            got.addAll(consumer.poll(200));
            return got.size() >= count ? true : null;
        });
        return got;
    }

    /**
     * Commits behind the messages polled and returns when the broker has it. The client sends offsets one-way and may
     * close the connection over them when it shuts down; a request on the same connection comes after them.
     */
    static void commit(DefaultLitePullConsumer consumer, List<MessageExt> polled) throws Exception {
        Map<MessageQueue, Long> offsets = new HashMap<>();
        for (MessageExt message : polled) {
            MessageQueue queue = new MessageQueue(message.getTopic(), message.getBrokerName(), message.getQueueId());
            offsets.merge(queue, message.getQueueOffset() + 1, Math::max);
        }
        consumer.commitSync(offsets, true);
        for (MessageQueue queue : offsets.keySet()) {
            consumer.offsetForTimestamp(queue, 0L);
        }
    }

    private static String liteAssign(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("lite_assign", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        List<Message> sent = fill(cluster, queue, 30);
        DefaultLitePullConsumer consumer = lite(cluster, "lite_assign");
        consumer.start();
        try {
            consumer.assign(List.of(queue));
            List<MessageExt> all = pollUntil(consumer, 30);
            Check.sameSet(sent, all);
            for (int i = 0; i < 30; i++) {
                Check.equal("offset in order", (long) i, all.get(i).getQueueOffset());
            }
            // Only now: a pull that is answered while the client seeks may be handed out in spite of it.
            consumer.seek(queue, 12);
            Check.sameSet(sent.subList(12, 30), pollUntil(consumer, 18));
            consumer.seekToBegin(queue);
            Check.sameSet(sent, pollUntil(consumer, 30));
            consumer.seekToEnd(queue);
            Message next = Check.message(topic, "TagC", 99);
            cluster.producer.send(next, queue);
            Check.sameSet(List.of(next), pollUntil(consumer, 1));
        } finally {
            consumer.shutdown();
        }
        return "seek 12, begin, end";
    }

    private static String liteSubscribe(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("lite_subscribe", 4);
        List<Message> wanted = new ArrayList<>();
        String[] tags = {"TagA", "TagB", "TagC"};
        for (int i = 0; i < 60; i++) {
            Message message = Check.message(topic, tags[i % 3], i);
            Check.sent("send " + i, cluster.producer.send(message));
            if (i % 3 != 1) {
                wanted.add(message);
            }
        }
        Set<String> first = new HashSet<>();
        List<MessageExt> all = new ArrayList<>();
        DefaultLitePullConsumer consumer = lite(cluster, "lite_subscribe");
        consumer.setPullBatchSize(5);
        consumer.subscribe(topic, "TagA || TagC");
        consumer.start();
        try {
            for (MessageExt message : pollUntil(consumer, 10)) {
                all.add(message);
                first.add(message.getMsgId());
            }
            commit(consumer, all);
        } finally {
            consumer.shutdown();
        }
        Check.isTrue("only a part was polled: " + first.size(), first.size() < wanted.size());
        DefaultLitePullConsumer second = lite(cluster, "lite_subscribe");
        second.subscribe(topic, "TagA || TagC");
        second.start();
        try {
            all.addAll(pollUntil(second, wanted.size() - first.size()));
        } finally {
            second.shutdown();
        }
        Check.sameSet(wanted, all);
        return first.size() + " then " + (all.size() - first.size());
    }

    private Pulls() {}
}
