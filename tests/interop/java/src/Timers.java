// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Messages that are delivered at an instant, and those that are taken back before. The 4.9 client knows neither: the
 * properties are set by name, and taking back is only asked of a client that can.
 */
final class Timers {
    private static final String SECONDS = "TIMER_DELAY_SEC";
    private static final String MILLIS = "TIMER_DELAY_MS";
    private static final String INSTANT = "TIMER_DELIVER_MS";
    /** Both brokers promise a second; the rest is for a machine under load. */
    private static final long LATE_MS = 6_000;

    private String kept;
    private String since;
    private final List<Message> sent = new ArrayList<>();

    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("timer_after_seconds", cluster -> after(cluster, SECONDS, 2_000));
        behaviours.put("timer_after_milliseconds", cluster -> after(cluster, MILLIS, 2_345));
        behaviours.put("timer_at_an_instant", cluster -> after(cluster, INSTANT, 2_700));
        behaviours.put("timer_in_order_of_time", Timers::order);
        behaviours.put("timer_past_due_comes_at_once", Timers::pastDue);
        behaviours.put("timer_too_far_is_refused", Timers::tooFar);
        behaviours.put("timer_unreadable_is_refused", Timers::unreadable);
        behaviours.put("timer_gives_way_to_a_level", Timers::level);
        behaviours.put("timer_to_a_push_consumer", Timers::push);
        behaviours.put("timer_recall", Timers::recall);
        behaviours.put("timer_recall_refused", Timers::recallRefused);
    }

    private static Message timed(String topic, int number, String property, long value) {
        Message made = Check.message(topic, "TagA", number);
        MessageAccessor.putProperty(made, property, Long.toString(value));
        return made;
    }

    /** What arrived is what was sent, in its topic, not early and not late. */
    private static long arrived(Message sent, MessageExt got, long earliest, long latest) {
        Check.same(sent, got);
        Check.equal("real topic", sent.getTopic(), got.getProperty("REAL_TOPIC"));
        Check.isTrue("it has a time of leaving the wheel", got.getProperty("TIMER_DEQUEUE_MS") != null);
        long stored = got.getStoreTimestamp();
        Check.isTrue("not early: " + (stored - earliest), stored >= earliest);
        Check.isTrue("not late: " + (stored - latest), stored <= latest + LATE_MS);
        return stored - earliest;
    }

    private static String after(Cluster cluster, String property, long delay) throws Exception {
        String topic = cluster.createTopic("timer_" + property.toLowerCase(), 2);
        long before = System.currentTimeMillis();
        long value = property.equals(SECONDS) ? delay / 1000 : property.equals(MILLIS) ? delay : before + delay;
        Message message = timed(topic, 1, property, value);
        SendResult result = cluster.producer.send(message);
        Check.sent("timer message", result);
        long after = System.currentTimeMillis();
        Check.equal("nothing before its time", 0, cluster.readAll(topic).size());
        List<MessageExt> got = cluster.readAll(topic, 1);
        Check.equal("messages", 1, got.size());
        Check.equal("queue", result.getMessageQueue().getQueueId(), got.get(0).getQueueId());
        Check.equal("message id", result.getMsgId(), got.get(0).getMsgId());
        long late = arrived(message, got.get(0), before + delay, after + delay);
        return late + " ms after it was due";
    }

    private static String order(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_order", 1);
        int[] delays = {5_500, 1_500, 3_500};
        for (int i = 0; i < delays.length; i++) {
            Check.sent("timer message", cluster.producer.send(timed(topic, i, MILLIS, delays[i])));
        }
        List<String> numbers = new ArrayList<>();
        for (MessageExt message : cluster.readAll(topic, 3)) {
            numbers.add(message.getProperty("number"));
        }
        Check.equal("order", List.of("1", "2", "0"), numbers);
        return "sent as 0 1 2, came as " + numbers;
    }

    private static String pastDue(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_past", 1);
        List<Message> sent = List.of(
            timed(topic, 0, INSTANT, System.currentTimeMillis() - 60_000),
            timed(topic, 1, SECONDS, 0),
            timed(topic, 2, MILLIS, -5));
        for (Message message : sent) {
            SendResult result = cluster.producer.send(message);
            Check.sent("timer message", result);
            Method handle = method(SendResult.class, "getRecallHandle");
            if (handle != null) {
                Check.equal("handle of a message that did not wait", null, handle.invoke(result));
            }
        }
        List<MessageExt> got = cluster.readAll(topic, 3);
        Check.sameSet(sent, got);
        for (MessageExt message : got) {
            Check.equal("no wheel", null, message.getProperty("TIMER_OUT_MS"));
        }
        return "3 messages at once";
    }

    private static int refused(Cluster cluster, Message message) throws Exception {
        try {
            cluster.producer.send(message);
        } catch (MQBrokerException e) {
            return e.getResponseCode();
        }
        throw new AssertionError("a message with " + message.getProperties() + " was taken");
    }

    private static String tooFar(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_far", 1);
        long days = 3 * 24 * 3600L;
        Check.equal("code", 13, refused(cluster, timed(topic, 0, SECONDS, days + 60)));
        Check.equal("code", 13, refused(cluster, timed(topic, 1, INSTANT, System.currentTimeMillis() + (days + 60) * 1000)));
        Check.sent("just near enough", cluster.producer.send(timed(topic, 2, SECONDS, days - 60)));
        Check.equal("messages", 0, cluster.readAll(topic).size());
        return "more than three days refused, a minute less taken";
    }

    private static String unreadable(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_garbage", 1);
        for (String property : List.of(SECONDS, MILLIS, INSTANT)) {
            Message message = Check.message(topic, "TagA", 0);
            MessageAccessor.putProperty(message, property, "soon");
            Check.equal("code for " + property, 13, refused(cluster, message));
        }
        return "3 refused";
    }

    private static String level(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_level", 1);
        Message message = timed(topic, 0, SECONDS, 3600);
        message.setDelayTimeLevel(1);
        long before = System.currentTimeMillis();
        Check.sent("both", cluster.producer.send(message));
        MessageExt got = cluster.readAll(topic, 1).get(0);
        Check.equal("timer property", null, got.getProperty(SECONDS));
        Check.isTrue("after a second: " + (got.getStoreTimestamp() - before), got.getStoreTimestamp() - before >= 900);
        return (got.getStoreTimestamp() - before) + " ms";
    }

    private static String push(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("timer_push", 2);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = Pushes.consumer(cluster, "timer_push");
        consumer.subscribe(topic, "TagA");
        consumer.registerMessageListener(Pushes.into(got));
        consumer.start();
        List<Message> wanted = new ArrayList<>();
        long due = System.currentTimeMillis() + 2_500;
        for (int i = 0; i < 10; i++) {
            Message message = timed(topic, i, INSTANT, due + i * 50);
            if (i % 2 == 1) {
                message.setTags("TagB");
            } else {
                wanted.add(message);
            }
            Check.sent("timer message", cluster.producer.send(message));
        }
        Cluster.awaitSize("messages", got, wanted.size());
        cluster.readAll(topic, 10);
        consumer.shutdown();
        Check.sameSet(wanted, got);
        return wanted.size() + " of 10 by tag";
    }

    private static Method method(Class<?> of, String name, Class<?>... parameters) {
        try {
            return of.getMethod(name, parameters);
        } catch (NoSuchMethodException e) {
            return null;
        }
    }

    /** The id that the broker answers; the broker's code as a negative number if it refuses. */
    private static Object takeBack(Cluster cluster, String topic, String handle) throws Exception {
        Method recall = method(DefaultMQProducer.class, "recallMessage", String.class, String.class);
        try {
            return recall.invoke(cluster.producer, topic, handle);
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof MQBrokerException) {
                return -((MQBrokerException) e.getCause()).getResponseCode();
            }
            throw e;
        }
    }

    private static String recall(Cluster cluster) throws Exception {
        Method handle = method(SendResult.class, "getRecallHandle");
        if (handle == null) {
            return "this client can not";
        }
        String topic = cluster.createTopic("timer_recall", 1);
        long due = System.currentTimeMillis() + 4_300;
        List<SendResult> results = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            results.add(cluster.producer.send(timed(topic, i, INSTANT, due)));
        }
        String of = (String) handle.invoke(results.get(1));
        Check.equal("id of the message taken back", results.get(1).getMsgId(), takeBack(cluster, topic, of));
        cluster.readAll(topic, 2);
        // Whatever else is in the slot comes with them.
        Thread.sleep(1_500);
        List<String> numbers = new ArrayList<>();
        for (MessageExt message : cluster.readAll(topic)) {
            numbers.add(message.getProperty("number"));
        }
        Check.equal("messages", List.of("0", "2"), numbers);
        Check.equal("too late", -604, takeBack(cluster, topic, of));
        return "1 of 3 taken back";
    }

    private static String recallRefused(Cluster cluster) throws Exception {
        Method handle = method(SendResult.class, "getRecallHandle");
        if (handle == null) {
            return "this client can not";
        }
        String topic = cluster.createTopic("timer_recall_refused", 1);
        String other = cluster.createTopic("timer_recall_other", 1);
        Message message = timed(topic, 0, SECONDS, 3);
        String of = (String) handle.invoke(cluster.producer.send(message));
        Check.equal("handle of another topic", -604, takeBack(cluster, other, of));
        Check.equal("messages", 1, cluster.readAll(topic, 1).size());
        return "refused, and delivered";
    }

    /** Messages that are due after the servers are back. */
    String before(Cluster cluster) throws Exception {
        kept = cluster.createTopic("timer_restart_kept", 2);
        since = cluster.createTopic("timer_restart_since", 1);
        for (int i = 0; i < 20; i++) {
            Message message = timed(kept, i, INSTANT, System.currentTimeMillis() + 20_000 + i * 100);
            Check.sent("timer message", cluster.producer.send(message));
            sent.add(message);
        }
        return sent.size() + " wait";
    }

    String after(Cluster cluster) throws Exception {
        if (sent.isEmpty()) {
            throw new IllegalStateException("the part before the restart failed");
        }
        Cluster.await("the producer's way back", () -> cluster.producer.send(timed(since, 0, SECONDS, 1)));
        List<MessageExt> got = cluster.readAll(kept, sent.size());
        Check.sameSet(sent, got);
        for (MessageExt message : got) {
            long due = Long.parseLong(message.getProperty(INSTANT));
            Check.isTrue("not early", message.getStoreTimestamp() >= due);
        }
        Check.isTrue("another, sent since, came", !cluster.readAll(since, 1).isEmpty());
        return got.size() + " came, none twice";
    }
}
