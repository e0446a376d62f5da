// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.store.OffsetStore;
import org.apache.rocketmq.client.consumer.store.ReadOffsetType;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Filters by properties: every family of the SQL92 grammar by pulls, and what consumers of all kinds get. */
final class Filters {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("sql_equality", cluster -> select(cluster, "sql_equality",
            "colour = 'red'", "0 4",
            "colour <> 'red'", "1 2",
            "'red' = colour", "0 4",
            "size = 5", "0",
            "size = '5'", "0",
            "size <> 5", "1 4",
            "weight = 2.5", "1",
            "colour = shade", "2 3 5",
            "colour <> shade", "0 1 4"));
        behaviours.put("sql_order", cluster -> select(cluster, "sql_order",
            // A text that is no whole number can not be compared with one.
            "weight > 2", "",
            "weight > -2", "3",
            "weight >= 2.5", "1 4",
            "weight < 2.5", "0 3",
            "weight <= -1.0", "3",
            "weight > -0.5 AND weight < 3.0", "0 1",
            "2.0 < weight", "1 4",
            "weight > size", "4"));
        behaviours.put("sql_between", cluster -> select(cluster, "sql_between",
            "weight BETWEEN 0.5 AND 2.5", "0 1",
            "weight NOT BETWEEN 0.5 AND 2.5", "3 4",
            "weight BETWEEN -5 AND 5", "3"));
        behaviours.put("sql_in", cluster -> select(cluster, "sql_in",
            "colour IN ('red')", "0 4",
            "colour IN ('red', 'blue', 'x', 'y', 'z')", "0 1 4",
            "colour NOT IN ('red', 'blue')", "2",
            "NOT (colour IN ('red'))", "1 2",
            "size IN ('5', '8')", "0 1"));
        behaviours.put("sql_null", cluster -> select(cluster, "sql_null",
            "shade IS NULL", "3 4 5",
            "shade IS NOT NULL", "0 1 2",
            "colour IS NULL AND shade IS NULL", "3 5",
            "nothing = nowhere", "0 1 2 3 4 5",
            "nothing <> 'x'", "",
            "NOT (nothing = 'x')", "",
            "nothing = 'x' OR colour = 'red'", "0 4",
            "nothing > 1", "",
            "(nothing = 'x') IS NULL", "0 1 2 3 4 5"));
        behaviours.put("sql_search", cluster -> select(cluster, "sql_search",
            "colour CONTAINS 'e'", "0 1 2 4",
            "colour STARTSWITH 'r'", "0 4",
            "colour ENDSWITH 'ue'", "1",
            "colour NOT CONTAINS 'l'", "0 2 4",
            "colour NOT STARTSWITH 'g'", "0 1 4",
            "colour NOT ENDSWITH 'd'", "1 2",
            "colour CONTAINS ''", "",
            "nothing NOT CONTAINS 'x'", ""));
        behaviours.put("sql_logic", cluster -> select(cluster, "sql_logic",
            "colour = 'red' OR colour = 'blue' AND size = '8'", "0 1 4",
            "(colour = 'red' OR colour = 'blue') AND size = '8'", "1",
            "NOT (colour = 'red') AND shade IS NOT NULL", "1 2",
            "NOT colour = 'red'", "",
            "TRUE", "0 1 2 3 4 5",
            "FALSE OR colour = 'green'", "2",
            "/* the red ones */ colour = 'red' -- all of them\n", "0 4"));
        behaviours.put("sql_kinds", cluster -> select(cluster, "sql_kinds",
            "flag", "",
            "flag = TRUE", "0",
            "flag = FALSE", "1",
            "TRUE = flag", "",
            "NOT flag", "0 1",
            // Text that is no number makes the message not match, also beside a true alternative.
            "size = 8 OR TRUE", "0 1 3 4 5",
            "TAGS = 'TagA' AND weight > 0.1", "0 4",
            "KEYS = 'key3'", "3"));
        behaviours.put("sql_statuses", Filters::statuses);
        behaviours.put("sql_refused", Filters::refused);
        behaviours.put("sql_push", Filters::push);
        behaviours.put("sql_push_changes_its_expression", Filters::changed);
        behaviours.put("sql_lite_pull", Filters::lite);
    }

    /** Six messages: number, tag, key and properties. */
    private static List<Message> messages(String topic) {
        String[][] properties = {
            {"colour", "red", "shade", "dark", "size", "5", "weight", "0.5", "flag", "true"},
            {"colour", "blue", "shade", "light", "size", "8", "weight", "2.5", "flag", "no"},
            {"colour", "green", "shade", "green", "size", "big", "weight", "heavy"},
            {"weight", "-1"},
            {"colour", "red", "size", "-7", "weight", "3.75"},
            {},
        };
        List<Message> made = new ArrayList<>();
        for (int i = 0; i < properties.length; i++) {
            Message message = new Message(topic, i % 2 == 0 ? "TagA" : "TagB", "key" + i, ("body " + i).getBytes(StandardCharsets.UTF_8));
            message.putUserProperty("number", Integer.toString(i));
            for (int k = 0; k < properties[i].length; k += 2) {
                message.putUserProperty(properties[i][k], properties[i][k + 1]);
            }
            made.add(message);
        }
        return made;
    }

    private static MessageQueue fill(Cluster cluster, String topic) throws Exception {
        MessageQueue queue = cluster.queues(topic).get(0);
        for (Message message : messages(topic)) {
            Check.sent("send", cluster.producer.send(message, queue));
        }
        return queue;
    }

    /** Ready to pull by SQL: the client refuses that itself until a heartbeat told it the broker's version. */
    private static DefaultMQPullConsumer puller(Cluster cluster, String what, MessageQueue queue) throws Exception {
        DefaultMQPullConsumer made = new DefaultMQPullConsumer(cluster.name(what + "_group"));
        cluster.configure(made, what);
        made.start();
        Cluster.await("max offset 6", () -> made.maxOffset(queue) == 6 ? true : null);
        Cluster.await("a pull by SQL", () -> made.pull(queue, MessageSelector.bySql("TRUE"), 0, 32));
        return made;
    }

    private static String numbers(List<MessageExt> messages) {
        Set<String> numbers = new TreeSet<>();
        for (MessageExt message : messages) {
            String number = message.getProperty("number");
            Check.equal("body", "body " + number, new String(message.getBody(), StandardCharsets.UTF_8));
            Check.isTrue("number " + number + " comes once", numbers.add(number));
        }
        return String.join(" ", numbers);
    }

    /** Pairs of an expression and the numbers of the messages that a pull by it gets. */
    private static String select(Cluster cluster, String what, String... pairs) throws Exception {
        String topic = cluster.createTopic(what, 1);
        MessageQueue queue = fill(cluster, topic);
        DefaultMQPullConsumer puller = puller(cluster, what, queue);
        List<String> wrong = new ArrayList<>();
        try {
            for (int i = 0; i < pairs.length; i += 2) {
                PullResult result = puller.pull(queue, MessageSelector.bySql(pairs[i]), 0, 32);
                boolean found = result.getPullStatus() == PullStatus.FOUND;
                String got = found ? numbers(result.getMsgFoundList()) : "";
                if (!found) {
                    Check.equal("status of " + pairs[i], PullStatus.NO_MATCHED_MSG, result.getPullStatus());
                }
                Check.equal("next of " + pairs[i], 6L, result.getNextBeginOffset());
                if (!got.equals(pairs[i + 1])) {
                    wrong.add(pairs[i] + ": expected [" + pairs[i + 1] + "], got [" + got + "]");
                }
            }
        } finally {
            puller.shutdown();
        }
        Check.isTrue("every expression selects what it should: " + wrong, wrong.isEmpty());
        return pairs.length / 2 + " expressions";
    }

    private static String statuses(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("sql_statuses", 1);
        MessageQueue queue = fill(cluster, topic);
        DefaultMQPullConsumer puller = puller(cluster, "sql_statuses", queue);
        try {
            PullResult none = puller.pull(queue, MessageSelector.bySql("colour = 'black'"), 0, 32);
            Check.equal("status without a match", PullStatus.NO_MATCHED_MSG, none.getPullStatus());
            Check.equal("next without a match", 6L, none.getNextBeginOffset());
            PullResult some = puller.pull(queue, MessageSelector.bySql("colour = 'red'"), 1, 32);
            Check.equal("found from 1 on", "4", numbers(some.getMsgFoundList()));
            PullResult one = puller.pull(queue, MessageSelector.bySql("colour IS NOT NULL"), 0, 1);
            Check.equal("one message", "0", numbers(one.getMsgFoundList()));
            Check.equal("next after one", 1L, one.getNextBeginOffset());
            PullResult end = puller.pull(queue, MessageSelector.bySql("colour = 'red'"), 6, 32);
            Check.equal("status at the end", PullStatus.NO_NEW_MSG, end.getPullStatus());
            PullResult beyond = puller.pull(queue, MessageSelector.bySql("colour = 'red'"), 60, 32);
            Check.equal("status beyond the end", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
            Check.equal("next beyond the end", 6L, beyond.getNextBeginOffset());
        } finally {
            puller.shutdown();
        }
        return "NO_MATCHED_MSG, FOUND, NO_NEW_MSG, OFFSET_ILLEGAL";
    }

    /** A consumer whose expression does not compile is not started. */
    private static String refused(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("sql_refused", 1);
        String[] wrong = {
            "colour ==", "colour = NULL", "colour > 'red'", "size = 0.0", "size IN (5)", "5", "NOT 5",
            "weight BETWEEN 5 AND 1", "colour = 'red", "a.b = 1", "size = 9223372036854775808",
        };
        for (String expression : wrong) {
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(cluster.name("sql_refused_group"));
            cluster.configure(consumer, "sql_refused");
            consumer.subscribe(topic, MessageSelector.bySql(expression));
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
            try {
                consumer.start();
                throw new AssertionError("started with " + expression);
            } catch (MQClientException e) {
                Check.equal("code for " + expression, 23, e.getResponseCode());
            } finally {
                consumer.shutdown();
            }
        }
        return wrong.length + " expressions are refused";
    }

    /** Starts a consumer by an expression; what it gets goes into the queue. */
    private static DefaultMQPushConsumer pusher(Cluster cluster, String what, String topic, String expression,
        ConcurrentLinkedQueue<MessageExt> got) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(cluster.name(what + "_group"));
        cluster.configure(consumer, what);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, MessageSelector.bySql(expression));
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            got.addAll(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    /** Half of the messages are there before the consumer, half come while it waits. */
    private static String push(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("sql_push", 2);
        List<Message> wanted = new ArrayList<>();
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        DefaultMQPushConsumer consumer = null;
        try {
            for (int i = 0; i < 60; i++) {
                if (i == 30) {
                    consumer = pusher(cluster, "sql_push", topic, "number BETWEEN 10 AND 49 AND TAGS = 'TagA'", got);
                    Cluster.awaitSize("messages that were there", got, wanted.size());
                }
                Message message = Check.message(topic, i % 2 == 0 ? "TagA" : "TagB", i);
                Check.sent("send " + i, cluster.producer.send(message));
                if (i >= 10 && i < 50 && i % 2 == 0) {
                    wanted.add(message);
                }
            }
            Cluster.awaitSize("messages", got, wanted.size());
            // Whatever comes too much comes soon.
            Thread.sleep(1000);
            Check.sameSet(wanted, got);
        } finally {
            if (consumer != null) {
                consumer.shutdown();
            }
        }
        return wanted.size() + " of 60";
    }

    /** The group comes back with another expression: from then on that counts. */
    private static String changed(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("sql_changed", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        List<Message> wanted = new ArrayList<>();
        ConcurrentLinkedQueue<MessageExt> got = new ConcurrentLinkedQueue<>();
        String[] colours = {"red", "blue"};
        int number = 0;
        for (String colour : colours) {
            DefaultMQPushConsumer consumer = pusher(cluster, "sql_changed", topic, "colour = '" + colour + "'", got);
            try {
                long last = 0;
                for (int i = 0; i < 11; i++) {
                    Message message = Check.message(topic, "TagA", number++);
                    message.putUserProperty("colour", colours[i % 2]);
                    long offset = cluster.producer.send(message, queue).getQueueOffset();
                    if (colours[i % 2].equals(colour)) {
                        wanted.add(message);
                        last = offset;
                    }
                }
                Cluster.awaitSize("messages that are " + colour, got, wanted.size());
                long next = last + 1;
                Cluster.await("committed offset " + next, () -> {
                    OffsetStore offsets = consumer.getDefaultMQPushConsumerImpl().getOffsetStore();
                    offsets.persist(queue);
                    return offsets.readOffset(queue, ReadOffsetType.READ_FROM_STORE) >= next ? true : null;
                });
            } finally {
                consumer.shutdown();
            }
        }
        Check.sameSet(wanted, got);
        return got.size() + " of " + number;
    }

    private static String lite(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("sql_lite", 2);
        List<Message> wanted = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            Message message = Check.message(topic, "TagA", i);
            Check.sent("send " + i, cluster.producer.send(message));
            if (i >= 25) {
                wanted.add(message);
            }
        }
        DefaultLitePullConsumer consumer = Pulls.lite(cluster, "sql_lite");
        consumer.subscribe(topic, MessageSelector.bySql("number >= 25 AND text IS NOT NULL"));
        consumer.start();
        try {
            Check.sameSet(wanted, Pulls.pollUntil(consumer, wanted.size()));
        } finally {
            consumer.shutdown();
        }
        return wanted.size() + " of 40";
    }

    private Filters() {}
}
