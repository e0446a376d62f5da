// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Every way of sending; what was sent is read back from the queues. */
final class Sends {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("send_sync_to_auto_created_topic", Sends::sync);
        behaviours.put("send_async", Sends::async);
        behaviours.put("send_oneway", Sends::oneway);
        behaviours.put("send_batch", Sends::batch);
        behaviours.put("send_to_chosen_queue", Sends::chosenQueue);
        behaviours.put("send_large_and_compressed", Sends::large);
        behaviours.put("send_without_tag_and_keys", Sends::plain);
    }

    private static String sync(Cluster cluster) throws Exception {
        String topic = cluster.name("auto");
        List<Message> sent = new ArrayList<>();
        Map<String, SendResult> results = new HashMap<>();
        for (int i = 0; i < 20; i++) {
            Message message = Check.message(topic, "Tag" + (i % 3), i);
            SendResult result = cluster.producer.send(message);
            Check.sent("send " + i, result);
            Check.equal("topic of the queue", topic, result.getMessageQueue().getTopic());
            results.put(Integer.toString(i), result);
            sent.add(message);
        }
        List<MessageExt> got = cluster.readAll(topic, sent.size());
        Check.sameSet(sent, got);
        for (MessageExt message : got) {
            SendResult result = results.get(message.getProperty("number"));
            Check.equal("message id", result.getMsgId(), message.getMsgId());
            Check.equal("queue id", result.getMessageQueue().getQueueId(), message.getQueueId());
            Check.equal("queue offset", result.getQueueOffset(), message.getQueueOffset());
            Check.equal("broker", result.getMessageQueue().getBrokerName(), message.getBrokerName());
        }
        int queues = cluster.queues(topic).size();
        Check.equal("queues of the topic made on demand", 4, queues);
        return got.size() + " messages, " + queues + " queues";
    }

    private static String async(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("async", 4);
        int count = 300;
        List<Message> sent = new ArrayList<>();
        CountDownLatch done = new CountDownLatch(count);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Set<String> ids = Collections.synchronizedSet(new HashSet<>());
        for (int i = 0; i < count; i++) {
            Message message = Check.message(topic, "TagA", i);
            sent.add(message);
            cluster.producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    try {
                        Check.sent("async send", result);
                        ids.add(result.getMsgId());
                    } catch (Throwable e) {
                        failure.set(e);
                    }
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    failure.set(e);
                    done.countDown();
                }
            });
        }
        Check.isTrue("all callbacks ran", done.await(30, TimeUnit.SECONDS));
        if (failure.get() != null) {
            throw new AssertionError("async send failed: " + failure.get(), failure.get());
        }
        Check.equal("distinct message ids", count, ids.size());
        Check.sameSet(sent, cluster.readAll(topic, count));
        return count + " messages";
    }

    private static String oneway(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("oneway", 4);
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            Message message = Check.message(topic, "TagA", i);
            cluster.producer.sendOneway(message);
            sent.add(message);
        }
        Check.sameSet(sent, cluster.readAll(topic, sent.size()));
        return sent.size() + " messages";
    }

    private static String batch(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("batch", 4);
        List<Message> all = new ArrayList<>();
        for (int round = 0; round < 3; round++) {
            List<Message> batch = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                batch.add(Check.message(topic, "Tag" + i, round * 10 + i));
            }
            SendResult result = cluster.producer.send(batch);
            Check.equal("status", "SEND_OK", result.getSendStatus().name());
            String[] ids = result.getMsgId().split(",");
            Check.equal("message ids of a batch of 10", 10, ids.length);
            Check.equal("offset message ids of a batch of 10", 10, result.getOffsetMsgId().split(",").length);
            all.addAll(batch);
            int at = 0;
            for (MessageExt message : cluster.readAll(topic, all.size())) {
                if (at < 10 && message.getQueueId() == result.getMessageQueue().getQueueId()
                    && message.getQueueOffset() == result.getQueueOffset() + at) {
                    Check.equal("message id in the batch", ids[at], message.getMsgId());
                    Check.same(batch.get(at), message);
                    at++;
                }
            }
            Check.equal("messages of the batch at consecutive offsets", 10, at);
        }
        Check.sameSet(all, cluster.readAll(topic, all.size()));
        return "3 batches of 10";
    }

    private static String chosenQueue(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("chosen", 3);
        List<MessageQueue> queues = cluster.queues(topic);
        Check.equal("queues", 3, queues.size());
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            Message message = Check.message(topic, "TagA", i);
            MessageQueue queue = queues.get(i % 3);
            SendResult result = i < 6
                ? cluster.producer.send(message, queue)
                : cluster.producer.send(message, (all, m, number) -> queues.get((Integer) number % 3), i);
            Check.sent("send " + i, result);
            Check.equal("queue", queue, result.getMessageQueue());
            Check.equal("queue offset", (long) (i / 3), result.getQueueOffset());
            sent.add(message);
        }
        List<MessageExt> got = cluster.readAll(topic, sent.size());
        Check.sameSet(sent, got);
        for (MessageExt message : got) {
            Check.equal("queue by number", Integer.parseInt(message.getProperty("number")) % 3, message.getQueueId());
        }
        return "12 messages over 3 queues";
    }

    private static String large(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("large", 1);
        byte[] repetitive = new byte[1_000_000];
        for (int i = 0; i < repetitive.length; i++) {
            repetitive[i] = (byte) (i / 1000);
        }
        byte[] random = new byte[300_000];
        new Random(42).nextBytes(random);
        // Over 4 KiB the client compresses; the broker stores what it gets and says so in the system flag.
        Check.sent("repetitive", cluster.producer.send(new Message(topic, "TagA", repetitive)));
        Check.sent("random", cluster.producer.send(new Message(topic, "TagA", random)));
        List<MessageExt> got = cluster.readAll(topic, 2);
        Check.equal("messages", 2, got.size());
        Check.isTrue("repetitive body is equal", Arrays.equals(repetitive, got.get(0).getBody()));
        Check.isTrue("random body is equal", Arrays.equals(random, got.get(1).getBody()));
        Check.isTrue("stored compressed: " + got.get(0).getStoreSize(), got.get(0).getStoreSize() < 200_000);
        return "1,000,000 bytes stored in " + got.get(0).getStoreSize();
    }

    private static String plain(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("plain", 1);
        Check.sent("no tag, no keys", cluster.producer.send(new Message(topic, "x".getBytes())));
        MessageExt got = cluster.readAll(topic, 1).get(0);
        Check.equal("body", "x", new String(got.getBody()));
        Check.equal("tag", null, got.getTags());
        Check.isTrue("no keys", got.getKeys() == null || got.getKeys().isEmpty());
        return "one byte, no properties";
    }

    private Sends() {}
}
