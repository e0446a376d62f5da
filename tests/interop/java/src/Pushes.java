// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The push consumer: filter, sharing, broadcasting, order, wake-up. */
final class Pushes {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("push_tag_filter", Pushes::tagFilter);
        behaviours.put("push_woken_on_arrival", Pushes::woken);
        behaviours.put("push_two_consumers_share_and_take_over", Pushes::share);
        behaviours.put("push_broadcasting", Pushes::broadcasting);
        behaviours.put("push_orderly", Pushes::orderly);
    }

    static DefaultMQPushConsumer consumer(Cluster cluster, String what) {
        DefaultMQPushConsumer made = new DefaultMQPushConsumer(cluster.name(what + "_group"));
        cluster.configure(made, what);
        made.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        made.setConsumeThreadMin(2);
        made.setConsumeThreadMax(4);
        return made;
    }

    static MessageListenerConcurrently into(List<MessageExt> got) {
        return (messages, context) -> {
            got.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    static List<MessageExt> list() {
        return Collections.synchronizedList(new ArrayList<>());
    }

    /** Sends with round-robin over queues; returns those that the filter lets through (null = all). */
    static List<Message> send(Cluster cluster, String topic, int from, int count, List<String> filter) throws Exception {
        String[] tags = {"TagA", "TagB", "TagC"};
        List<MessageQueue> queues = cluster.queues(topic);
        List<Message> wanted = new ArrayList<>();
        for (int i = from; i < from + count; i++) {
            Message message = Check.message(topic, tags[i % 3], i);
            Check.sent("send " + i, cluster.producer.send(message, queues.get(i % queues.size())));
            if (filter == null || filter.contains(message.getTags())) {
                wanted.add(message);
            }
        }
        return wanted;
    }

    private static String tagFilter(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("push_tags", 4);
        List<String> tags = List.of("TagA", "TagC");
        // Half of it is there before the consumer starts, half comes while it runs.
        List<Message> wanted = send(cluster, topic, 0, 60, tags);
        List<MessageExt> got = list();
        DefaultMQPushConsumer consumer = consumer(cluster, "push_tags");
        consumer.subscribe(topic, "TagA || TagC");
        consumer.registerMessageListener(into(got));
        consumer.start();
        try {
            wanted.addAll(send(cluster, topic, 60, 60, tags));
            Cluster.awaitSize("messages", got, wanted.size());
        } finally {
            consumer.shutdown();
        }
        Check.sameSet(wanted, got);
        return got.size() + " of 120 messages, tags TagA || TagC";
    }

    private static String woken(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("push_woken", 1);
        List<MessageExt> got = list();
        AtomicLong arrived = new AtomicLong();
        DefaultMQPushConsumer consumer = consumer(cluster, "push_woken");
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            arrived.set(System.nanoTime());
            got.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        try {
            long worst = 0;
            for (int i = 0; i < 5; i++) {
                // Time enough for the next pull to be parked at the broker.
                Thread.sleep(300);
                long start = System.nanoTime();
                Check.sent("send", cluster.producer.send(Check.message(topic, "TagA", i)));
                Cluster.awaitSize("messages", got, i + 1);
                if (i > 0) {
                    worst = Math.max(worst, (arrived.get() - start) / 1_000_000);
                }
            }
            Check.isTrue("a parked pull is answered on arrival: worst " + worst + " ms", worst < 3000);
            return "worst of 4: " + worst + " ms";
        } finally {
            consumer.shutdown();
        }
    }

    static int assigned(DefaultMQPushConsumer consumer, String topic) {
        int count = 0;
        for (var queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                count++;
            }
        }
        return count;
    }

    private static String share(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("push_share", 4);
        List<MessageExt> gotA = list();
        List<MessageExt> gotB = list();
        DefaultMQPushConsumer a = consumer(cluster, "push_share");
        a.subscribe(topic, "*");
        a.registerMessageListener(into(gotA));
        DefaultMQPushConsumer b = consumer(cluster, "push_share");
        b.subscribe(topic, "*");
        b.registerMessageListener(into(gotB));
        a.start();
        try {
            Cluster.await("4 queues at the only consumer", () -> assigned(a, topic) == 4 ? true : null);
            long start = System.nanoTime();
            b.start();
            Cluster.await("2 queues each", () -> assigned(a, topic) == 2 && assigned(b, topic) == 2 ? true : null);
            long joined = (System.nanoTime() - start) / 1_000_000;
            List<Message> sent = send(cluster, topic, 0, 80, null);
            Cluster.await("80 messages at both", () -> gotA.size() + gotB.size() >= 80 ? true : null);
            Check.equal("share of the first", 40, gotA.size());
            Check.equal("share of the second", 40, gotB.size());
            start = System.nanoTime();
            a.shutdown();
            Cluster.await("4 queues after the other left", () -> assigned(b, topic) == 4 ? true : null);
            long taken = (System.nanoTime() - start) / 1_000_000;
            sent.addAll(send(cluster, topic, 80, 20, null));
            Cluster.awaitSize("messages at the second", gotB, 60);
            List<MessageExt> all = new ArrayList<>(gotA);
            all.addAll(gotB);
            Check.sameSet(sent, all);
            return "40 + 40, then 20 after the take-over; join " + joined + " ms, leave " + taken + " ms";
        } finally {
            a.shutdown();
            b.shutdown();
        }
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static void setBroadcasting(DefaultMQPushConsumer consumer) throws Exception {
        // The enum moved to another package between 4.9 and 5.
        for (Method method : DefaultMQPushConsumer.class.getMethods()) {
            if (method.getName().equals("setMessageModel")) {
                method.invoke(consumer, Enum.valueOf((Class<Enum>) method.getParameterTypes()[0], "BROADCASTING"));
                return;
            }
        }
        throw new IllegalStateException("no setMessageModel");
    }

    private static String broadcasting(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("push_broadcast", 2);
        List<Message> sent = send(cluster, topic, 0, 20, null);
        List<List<MessageExt>> got = List.of(list(), list());
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        try {
            for (List<MessageExt> into : got) {
                DefaultMQPushConsumer consumer = consumer(cluster, "push_broadcast");
                setBroadcasting(consumer);
                consumer.subscribe(topic, "*");
                consumer.registerMessageListener(into(into));
                consumer.start();
                consumers.add(consumer);
            }
            sent.addAll(send(cluster, topic, 20, 20, null));
            for (List<MessageExt> into : got) {
                Cluster.awaitSize("messages at each", into, 40);
            }
        } finally {
            consumers.forEach(DefaultMQPushConsumer::shutdown);
        }
        for (List<MessageExt> into : got) {
            Check.sameSet(sent, into);
        }
        return "2 × 40";
    }

    private static String orderly(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("push_orderly", 4);
        List<Message> sent = send(cluster, topic, 0, 80, null);
        List<MessageExt> got = list();
        DefaultMQPushConsumer consumer = consumer(cluster, "push_orderly");
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            got.addAll(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        try {
            sent.addAll(send(cluster, topic, 80, 80, null));
            Cluster.awaitSize("messages", got, 160);
        } finally {
            consumer.shutdown();
        }
        Check.sameSet(sent, got);
        Map<Integer, Long> next = new HashMap<>();
        for (MessageExt message : got) {
            long expected = next.getOrDefault(message.getQueueId(), 0L);
            Check.equal("order in queue " + message.getQueueId(), expected, message.getQueueOffset());
            next.put(message.getQueueId(), expected + 1);
        }
        return "160 messages, in order in each of " + next.size() + " queues";
    }

    private Pushes() {}
}
