// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.AckCallback;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PopCallback;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ExtraInfoUtil;
import org.apache.rocketmq.remoting.protocol.header.NotificationRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PeekMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PollingInfoRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;

/** Pops, raw and by the push consumer. Only clients of 5.x have them, and only with JSON headers: others cut the codes. */
public final class Pops {
    /** How long the raw pops hide messages. */
    private static final long HIDDEN_MS = 4000;

    public static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("pop_and_acknowledge", Pops::acknowledge);
        behaviours.put("pop_again_as_retry", Pops::again);
        behaviours.put("pop_changed_invisible_time", Pops::changed);
        behaviours.put("pop_batch_acknowledge", Pops::batch);
        behaviours.put("pop_in_order", Pops::ordered);
        behaviours.put("pop_held_until_a_message_arrives", Pops::held);
        behaviours.put("pop_tag_filter", Pops::tags);
        behaviours.put("pop_peek_notification_and_polling_info", Pops::looks);
        behaviours.put("pop_errors", Pops::errors);
        behaviours.put("pop_push_consumers_share", Pops::push);
        behaviours.put("pop_push_consumer_retries", Pops::pushRetries);
    }

    /** A topic with a group that pops it by hand. */
    private static final class Popper {
        final Cluster cluster;
        final MQClientAPIImpl api;
        final String topic;
        final String group;
        final String brokerName;

        Popper(Cluster cluster, String what, int queues) throws Exception {
            this.cluster = cluster;
            topic = cluster.createTopic(what, queues);
            group = cluster.name(what + "_group");
            brokerName = cluster.queues(topic).get(0).getBrokerName();
            api = cluster.admin.getDefaultMQAdminExtImpl().getMqClientInstance().getMQClientAPIImpl();
        }

        PopMessageRequestHeader header(int max, long pollMs) {
            PopMessageRequestHeader header = new PopMessageRequestHeader();
            header.setConsumerGroup(group);
            header.setTopic(topic);
            header.setQueueId(-1);
            header.setMaxMsgNums(max);
            header.setInvisibleTime(HIDDEN_MS);
            header.setPollTime(pollMs);
            header.setBornTime(System.currentTimeMillis());
            header.setInitMode(0);
            header.setExpType("TAG");
            header.setExp("*");
            header.setOrder(false);
            return header;
        }

        CompletableFuture<PopResult> send(PopMessageRequestHeader header) throws Exception {
            CompletableFuture<PopResult> answer = new CompletableFuture<>();
            api.popMessageAsync(brokerName, cluster.brokerAddr(), header, header.getPollTime() + 10_000, new PopCallback() {
                @Override
                public void onSuccess(PopResult result) {
                    answer.complete(result);
                }

                @Override
                public void onException(Throwable e) {
                    answer.completeExceptionally(e);
                }
            });
            return answer;
        }

        /** Pops once; nothing is an empty list. */
        List<MessageExt> pop(PopMessageRequestHeader header) throws Exception {
            PopResult result = send(header).get(30, TimeUnit.SECONDS);
            if (result.getPopStatus() != PopStatus.FOUND) {
                return List.of();
            }
            Check.isTrue("a pop time", Math.abs(result.getPopTime() - System.currentTimeMillis()) < 60_000);
            Check.equal("invisible time", header.getInvisibleTime(), result.getInvisibleTime());
            return result.getMsgFoundList();
        }

        /** Pops until there are that many. */
        List<MessageExt> pop(int count) throws Exception {
            List<MessageExt> all = new ArrayList<>();
            Cluster.await(count + " messages popped", () -> {
                all.addAll(pop(header(32, 500)));
                return all.size() >= count ? true : null;
            });
            return all;
        }

        private CompletableFuture<AckResult> answer(Sender sender) throws Exception {
            CompletableFuture<AckResult> answer = new CompletableFuture<>();
            sender.send(new AckCallback() {
                @Override
                public void onSuccess(AckResult result) {
                    answer.complete(result);
                }

                @Override
                public void onException(Throwable e) {
                    answer.completeExceptionally(e);
                }
            });
            return answer;
        }

        AckResult ack(MessageExt message) throws Exception {
            return ack(receipt(message), message.getQueueOffset());
        }

        AckResult ack(String receipt, long offset) throws Exception {
            String[] parts = ExtraInfoUtil.split(receipt);
            AckMessageRequestHeader header = new AckMessageRequestHeader();
            header.setConsumerGroup(group);
            header.setTopic(ExtraInfoUtil.getRealTopic(parts, topic, group));
            header.setQueueId(ExtraInfoUtil.getQueueId(parts));
            header.setOffset(offset);
            header.setExtraInfo(receipt);
            return answer(callback -> api.ackMessageAsync(cluster.brokerAddr(), 10_000, callback, header))
                .get(20, TimeUnit.SECONDS);
        }

        AckResult change(MessageExt message, long invisibleMs) throws Exception {
            String[] parts = ExtraInfoUtil.split(receipt(message));
            ChangeInvisibleTimeRequestHeader header = new ChangeInvisibleTimeRequestHeader();
            header.setConsumerGroup(group);
            header.setTopic(ExtraInfoUtil.getRealTopic(parts, topic, group));
            header.setQueueId(ExtraInfoUtil.getQueueId(parts));
            header.setOffset(ExtraInfoUtil.getQueueOffset(parts));
            header.setExtraInfo(receipt(message));
            header.setInvisibleTime(invisibleMs);
            return answer(callback ->
                api.changeInvisibleTimeAsync(brokerName, cluster.brokerAddr(), header, 10_000, callback))
                .get(20, TimeUnit.SECONDS);
        }

        AckResult ackAll(List<MessageExt> messages) throws Exception {
            List<String> receipts = new ArrayList<>();
            for (MessageExt message : messages) {
                receipts.add(receipt(message));
            }
            return answer(callback ->
                api.batchAckMessageAsync(cluster.brokerAddr(), 10_000, callback, topic, group, receipts))
                .get(20, TimeUnit.SECONDS);
        }

        List<Message> fill(int count) throws Exception {
            List<Message> sent = new ArrayList<>();
            List<MessageQueue> queues = cluster.queues(topic);
            for (int i = 0; i < count; i++) {
                Message message = Check.message(topic, i % 2 == 0 ? "TagA" : "TagB", i);
                Check.sent("send " + i, cluster.producer.send(message, queues.get(i % queues.size())));
                sent.add(message);
            }
            // The reference shows a message to consumers a moment after it has acknowledged it.
            cluster.readAll(topic, count);
            return sent;
        }

        RemotingCommand invoke(int code, org.apache.rocketmq.remoting.CommandCustomHeader header) throws Exception {
            RemotingCommand request = RemotingCommand.createRequestCommand(code, header);
            return api.getRemotingClient().invokeSync(cluster.brokerAddr(), request, 10_000);
        }
    }

    interface Sender {
        void send(AckCallback callback) throws Exception;
    }

    private static String receipt(MessageExt message) {
        String receipt = message.getProperty(MessageConst.PROPERTY_POP_CK);
        Check.isTrue("a receipt with 8 parts: " + receipt, receipt != null && receipt.split(" ").length == 8);
        return receipt;
    }

    private static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    private static String acknowledge(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_ack", 3);
        List<Message> sent = popper.fill(10);
        List<MessageExt> got = popper.pop(10);
        Check.sameSet(sent, got);
        for (MessageExt message : got) {
            Check.equal("acknowledgement", AckStatus.OK, popper.ack(message).getStatus());
        }
        long end = System.currentTimeMillis() + HIDDEN_MS + 9000;
        int looks = 0;
        while (System.currentTimeMillis() < end) {
            Check.equal("messages after the acknowledgements", List.of(), popper.pop(popper.header(32, 1000)));
            looks++;
        }
        return looks + " pops found nothing more";
    }

    private static String again(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_again", 2);
        List<Message> sent = popper.fill(6);
        List<MessageExt> got = popper.pop(6);
        long start = System.currentTimeMillis();
        Set<String> open = new HashSet<>();
        for (MessageExt message : got) {
            if (message.getProperty("number").equals("2") || message.getProperty("number").equals("3")) {
                open.add(text(message));
            } else {
                popper.ack(message);
            }
        }
        List<MessageExt> retries = popper.pop(2);
        long ms = System.currentTimeMillis() - start;
        Set<String> again = new HashSet<>();
        for (MessageExt message : retries) {
            again.add(text(message));
            Message original = sent.get(Integer.parseInt(message.getProperty("number")));
            Check.equal("topic of a retry", popper.topic, message.getTopic());
            Check.equal("reconsume times", 1, message.getReconsumeTimes());
            Check.equal("tag", original.getTags(), message.getTags());
            Check.equal("keys", original.getKeys(), message.getKeys());
            Check.equal("flag", original.getFlag(), message.getFlag());
            String[] parts = ExtraInfoUtil.split(receipt(message));
            Check.equal("mark of a retry", "1", ExtraInfoUtil.getRetry(parts));
            long firstPop = Long.parseLong(message.getProperty(MessageConst.PROPERTY_FIRST_POP_TIME));
            Check.isTrue("first pop time is the first one: " + firstPop, Math.abs(firstPop - start) < HIDDEN_MS / 2 + 1000);
            Check.equal("acknowledgement of a retry", AckStatus.OK, popper.ack(message).getStatus());
        }
        Check.equal("what came again", open, again);
        Check.isTrue("not before it was due: " + ms + " ms", ms > HIDDEN_MS - 1500);
        return "after " + ms + " ms";
    }

    private static String changed(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_change", 1);
        popper.fill(2);
        List<MessageExt> got = popper.pop(2);
        long start = System.currentTimeMillis();
        AckResult longer = popper.change(got.get(0), 14_000);
        Check.equal("change", AckStatus.OK, longer.getStatus());
        Check.isTrue("new pop time", longer.getPopTime() >= start - 60_000);
        String[] parts = ExtraInfoUtil.split(longer.getExtraInfo());
        Check.equal("new invisible time", 14_000L, ExtraInfoUtil.getInvisibleTime(parts));
        Check.equal("offset", got.get(0).getQueueOffset(), ExtraInfoUtil.getQueueOffset(parts));
        List<MessageExt> first = popper.pop(1);
        Check.equal("the other one comes at its time", List.of(text(got.get(1))), List.of(text(first.get(0))));
        Check.equal("that alone", 1, first.size());
        popper.ack(first.get(0));
        // The old receipt is accepted and does nothing.
        Check.equal("old receipt", AckStatus.OK, popper.ack(got.get(0)).getStatus());
        List<MessageExt> second = popper.pop(1);
        long ms = System.currentTimeMillis() - start;
        Check.equal("the changed one", text(got.get(0)), text(second.get(0)));
        Check.isTrue("at its new time: " + ms, ms > 12_500);
        popper.ack(second.get(0));
        return "after " + ms + " ms";
    }

    private static String batch(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_batch", 2);
        List<Message> sent = popper.fill(8);
        List<MessageExt> got = popper.pop(8);
        Check.sameSet(sent, got);
        List<MessageExt> done = new ArrayList<>();
        MessageExt open = null;
        for (MessageExt message : got) {
            if (message.getProperty("number").equals("5")) {
                open = message;
            } else {
                done.add(message);
            }
        }
        Check.equal("batch", AckStatus.OK, popper.ackAll(done).getStatus());
        List<MessageExt> retries = popper.pop(1);
        Check.equal("one is left", 1, retries.size());
        Check.equal("the right one", text(open), text(retries.get(0)));
        Check.equal("batch of a retry", AckStatus.OK, popper.ackAll(retries).getStatus());
        long end = System.currentTimeMillis() + HIDDEN_MS + 6000;
        while (System.currentTimeMillis() < end) {
            Check.equal("nothing more", List.of(), popper.pop(popper.header(32, 1000)));
        }
        return "7 of 8 and a retry";
    }

    private static String ordered(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_order", 1);
        popper.fill(6);
        List<MessageExt> first = popper.pop(ordered(popper, 2, 0));
        Check.equal("first batch", List.of("0", "1"), numbers(first));
        Check.equal("a blocked queue", List.of(), popper.pop(ordered(popper, 2, 0)));
        CompletableFuture<PopResult> next = popper.send(ordered(popper, 3, 10_000));
        Thread.sleep(300);
        popper.ack(first.get(1));
        popper.ack(first.get(0));
        List<MessageExt> second = next.get(20, TimeUnit.SECONDS).getMsgFoundList();
        Check.equal("woken by the acknowledgement", List.of("2", "3", "4"), numbers(second));
        popper.ack(second.get(0));
        // Not acknowledged in time: from the first of them on again, with their count.
        List<MessageExt> third = Cluster.await("the batch again", () -> {
            List<MessageExt> got = popper.pop(ordered(popper, 3, 1000));
            return got.isEmpty() ? null : got;
        });
        Check.equal("third batch", List.of("3", "4", "5"), numbers(third));
        Check.equal("handed out before", 1, third.get(0).getReconsumeTimes());
        Check.equal("new", 0, third.get(2).getReconsumeTimes());
        AckResult changed = popper.change(third.get(0), 1000);
        Check.equal("change", AckStatus.OK, changed.getStatus());
        popper.ack(third.get(1));
        popper.ack(third.get(2));
        List<MessageExt> fourth = Cluster.await("the changed one", () -> {
            List<MessageExt> got = popper.pop(ordered(popper, 3, 1000));
            return got.isEmpty() ? null : got;
        });
        Check.equal("fourth batch", "3", numbers(fourth).get(0));
        Check.equal("twice handed out before", 2, fourth.get(0).getReconsumeTimes());
        return numbers(fourth).toString();
    }

    private static PopMessageRequestHeader ordered(Popper popper, int max, long pollMs) {
        PopMessageRequestHeader header = popper.header(max, pollMs);
        header.setQueueId(0);
        header.setOrder(true);
        return header;
    }

    private static List<String> numbers(List<MessageExt> messages) {
        List<String> numbers = new ArrayList<>();
        for (MessageExt message : messages) {
            numbers.add(message.getProperty("number"));
        }
        return numbers;
    }

    private static String held(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_held", 2);
        long start = System.currentTimeMillis();
        Check.equal("nothing", List.of(), popper.pop(popper.header(1, 2000)));
        long waited = System.currentTimeMillis() - start;
        Check.isTrue("held for its time: " + waited + " ms", waited >= 1800 && waited < 10_000);
        CompletableFuture<PopResult> any = popper.send(popper.header(4, 15_000));
        Thread.sleep(300);
        Message wanted = Check.message(popper.topic, "TagA", 1);
        long sent = System.currentTimeMillis();
        cluster.producer.send(wanted);
        PopResult result = any.get(20, TimeUnit.SECONDS);
        long ms = System.currentTimeMillis() - sent;
        Check.equal("status", PopStatus.FOUND, result.getPopStatus());
        Check.sameSet(List.of(wanted), result.getMsgFoundList());
        Check.isTrue("woken on arrival: " + ms + " ms", ms < 3000);
        return "held " + waited + " ms, answered " + ms + " ms after the send began";
    }

    private static String tags(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_tags", 2);
        List<Message> wanted = new ArrayList<>();
        for (Message message : popper.fill(12)) {
            if (message.getTags().equals("TagB")) {
                wanted.add(message);
            }
        }
        List<MessageExt> got = new ArrayList<>();
        Cluster.await("messages with TagB", () -> {
            PopMessageRequestHeader header = popper.header(32, 500);
            header.setExp("TagB || TagC");
            got.addAll(popper.pop(header));
            return got.size() >= wanted.size() ? true : null;
        });
        Check.sameSet(wanted, got);
        for (MessageExt message : got) {
            popper.ack(message);
        }
        return got.size() + " of 12";
    }

    private static String looks(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_looks", 2);
        PeekMessageRequestHeader peek = new PeekMessageRequestHeader();
        peek.setConsumerGroup(popper.group);
        peek.setTopic(popper.topic);
        peek.setQueueId(-1);
        peek.setMaxMsgNums(32);
        Check.equal("peek of nothing", 19, popper.invoke(RequestCode.PEEK_MESSAGE, peek).getCode());
        Check.equal("no message", "false", notification(popper).getExtFields().get("hasMsg"));
        popper.send(popper.header(1, 5_000));
        PollingInfoRequestHeader info = new PollingInfoRequestHeader();
        info.setConsumerGroup(popper.group);
        info.setTopic(popper.topic);
        info.setQueueId(-1);
        Cluster.await("one pop that waits", () ->
            "1".equals(popper.invoke(RequestCode.POLLING_INFO, info).getExtFields().get("pollingNum")) ? true : null);
        popper.fill(4);
        RemotingCommand seen = Cluster.await("three messages seen", () -> {
            RemotingCommand answer = popper.invoke(RequestCode.PEEK_MESSAGE, peek);
            return "3".equals(answer.getExtFields().get("restNum")) ? answer : null;
        });
        Check.equal("peek", 0, seen.getCode());
        Check.isTrue("records in the body", seen.getBody().length > 3 * 91);
        Check.equal("a message", "true", notification(popper).getExtFields().get("hasMsg"));
        Check.equal("no pop waits", "0", popper.invoke(RequestCode.POLLING_INFO, info).getExtFields().get("pollingNum"));
        return "19, false, 1, 3, true, 0";
    }

    private static RemotingCommand notification(Popper popper) throws Exception {
        NotificationRequestHeader header = new NotificationRequestHeader();
        header.setConsumerGroup(popper.group);
        header.setTopic(popper.topic);
        header.setQueueId(-1);
        header.setPollTime(200);
        header.setBornTime(System.currentTimeMillis());
        header.setOrder(false);
        RemotingCommand answer = popper.invoke(RequestCode.NOTIFICATION, header);
        Check.equal("code of a notification", 0, answer.getCode());
        return answer;
    }

    private static String errors(Cluster cluster) throws Exception {
        Popper popper = new Popper(cluster, "pop_errors", 1);
        popper.fill(1);
        PopMessageRequestHeader header = popper.header(33, 0);
        Check.equal("33 messages", 29, refused(popper.send(header)).getResponseCode());
        header = popper.header(1, 0);
        header.setQueueId(5);
        MQBrokerException noQueue = refused(popper.send(header));
        Check.equal("queue 5", 29, noQueue.getResponseCode());
        Check.isTrue("remark names the queue: " + noQueue.getErrorMessage(), noQueue.getErrorMessage().contains("5"));
        header = popper.header(1, 0);
        header.setTopic(cluster.name("no_such_topic"));
        Check.equal("unknown topic", 17, refused(popper.send(header)).getResponseCode());
        header = popper.header(1, 1000);
        header.setBornTime(System.currentTimeMillis() - 60_000);
        PopStatus late = popper.send(header).get(20, TimeUnit.SECONDS).getPopStatus();
        Check.equal("a pop that comes too late", PopStatus.POLLING_NOT_FOUND, late);

        MessageExt message = popper.pop(1).get(0);
        Check.equal("offset beyond the queue", AckStatus.NO_EXIST, popper.ack(receipt(message), 77).getStatus());
        String[] parts = receipt(message).split(" ");
        parts[6] = "9";
        AckResult illegal = popper.ack(String.join(" ", parts), message.getQueueOffset());
        Check.equal("queue beyond the topic", AckStatus.NO_EXIST, illegal.getStatus());
        Check.equal("acknowledgement", AckStatus.OK, popper.ack(message).getStatus());
        return "29, 29, 17, late, beyond";
    }

    private static MQBrokerException refused(CompletableFuture<PopResult> answer) throws Exception {
        try {
            throw new AssertionError("not refused: " + answer.get(20, TimeUnit.SECONDS));
        } catch (ExecutionException e) {
            if (e.getCause() instanceof MQBrokerException) {
                return (MQBrokerException) e.getCause();
            }
            throw e;
        }
    }

    private static DefaultMQPushConsumer consumer(Cluster cluster, String what, String topic) throws Exception {
        DefaultMQPushConsumer made = Pushes.consumer(cluster, what);
        made.setClientRebalance(false);
        made.setPopInvisibleTime(10_000);
        made.subscribe(topic, "*");
        return made;
    }

    private static void popMode(Cluster cluster, String topic, String group) throws Exception {
        cluster.admin.setMessageRequestMode(cluster.brokerAddr(), topic, group, MessageRequestMode.POP, 0, 10_000);
    }

    private static String push(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("pop_push", 2);
        List<MessageExt> one = Pushes.list();
        List<MessageExt> two = Pushes.list();
        DefaultMQPushConsumer first = consumer(cluster, "pop_push", topic);
        DefaultMQPushConsumer second = consumer(cluster, "pop_push", topic);
        popMode(cluster, topic, first.getConsumerGroup());
        first.registerMessageListener(Pushes.into(one));
        second.registerMessageListener(Pushes.into(two));
        List<Message> sent = new ArrayList<>();
        first.start();
        second.start();
        try {
            Cluster.await("both have messages", () -> {
                sent.addAll(Pushes.send(cluster, topic, sent.size(), 10, null));
                Thread.sleep(200);
                return !one.isEmpty() && !two.isEmpty() ? true : null;
            });
            Cluster.await("all messages", () -> one.size() + two.size() >= sent.size() ? true : null);
            // More than the pops hide them: nothing comes twice.
            Thread.sleep(16_000);
            List<MessageExt> all = new ArrayList<>(one);
            all.addAll(two);
            Check.sameSet(sent, all);
        } finally {
            first.shutdown();
            second.shutdown();
        }
        return one.size() + " and " + two.size();
    }

    private static String pushRetries(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("pop_push_retry", 2);
        DefaultMQPushConsumer consumer = consumer(cluster, "pop_push_retry", topic);
        popMode(cluster, topic, consumer.getConsumerGroup());
        Map<String, Integer> tries = new ConcurrentHashMap<>();
        Map<String, Integer> counts = new ConcurrentHashMap<>();
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently)
            (messages, context) -> {
                for (MessageExt message : messages) {
                    String number = message.getProperty("number");
                    counts.put(number, message.getReconsumeTimes());
                    if (tries.merge(number, 1, Integer::sum) == 1 && number.equals("3")) {
                        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                    }
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.start();
        try {
            Pushes.send(cluster, topic, 0, 6, null);
            long start = System.currentTimeMillis();
            Cluster.await("message 3 again", () -> tries.getOrDefault("3", 0) == 2 ? true : null);
            long ms = System.currentTimeMillis() - start;
            Check.equal("reconsume times", 1, counts.get("3"));
            Check.equal("messages", 6, tries.size());
            for (Map.Entry<String, Integer> entry : tries.entrySet()) {
                Check.equal("tries of " + entry.getKey(), entry.getKey().equals("3") ? 2 : 1, entry.getValue());
            }
            return "after " + ms + " ms";
        } finally {
            consumer.shutdown();
        }
    }

    private Pops() {}
}
