// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Requests that the broker passes on to a client: replies to messages, and questions of administrators. */
final class Requests {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("request_is_replied_to", Requests::sync);
        behaviours.put("request_with_callback", Requests::async);
        behaviours.put("request_to_chosen_queue", Requests::chosenQueue);
        behaviours.put("requests_in_parallel_get_their_own_replies", Requests::parallel);
        behaviours.put("request_without_reply_times_out", Requests::timeout);
        behaviours.put("reply_is_stored", Requests::stored);
        behaviours.put("reply_to_nobody_is_refused", Requests::nobody);
        behaviours.put("consumer_running_info", Requests::runningInfo);
        behaviours.put("consume_message_directly", Requests::directly);
        behaviours.put("consumer_status", Requests::status);
        behaviours.put("questions_to_absent_consumers_are_refused", Requests::absent);
    }

    /** A consumer that replies to each message with its number and the length of its body. */
    private static final class Responder implements AutoCloseable {
        final List<MessageExt> asked = Collections.synchronizedList(new ArrayList<>());
        final List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
        private final DefaultMQProducer producer;
        private final DefaultMQPushConsumer consumer;

        Responder(Cluster cluster, String what, String topic) throws Exception {
            producer = cluster.newProducer(what + "_reply");
            producer.start();
            consumer = Pushes.consumer(cluster, what);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                    for (MessageExt message : messages) {
                        asked.add(message);
                        try {
                            Message reply = MessageUtil.createReplyMessage(message, text(message).getBytes(StandardCharsets.UTF_8));
                            reply.putUserProperty("number", message.getProperty("number"));
                            producer.send(reply, 10_000);
                        } catch (Throwable e) {
                            failures.add(e);
                        }
                    }
                    return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                });
            consumer.start();
        }

        static String text(Message request) {
            return "reply to " + request.getProperty("number") + ", " + request.getBody().length + " bytes, grüße";
        }

        @Override
        public void close() {
            consumer.shutdown();
            producer.shutdown();
        }
    }

    private static void replied(Message request, Message reply) {
        Check.equal("reply", Responder.text(request), new String(reply.getBody(), StandardCharsets.UTF_8));
        Check.equal("number", request.getProperty("number"), reply.getProperty("number"));
        Check.equal("correlation id", request.getProperty(MessageConst.PROPERTY_CORRELATION_ID),
            reply.getProperty(MessageConst.PROPERTY_CORRELATION_ID));
        Check.isTrue("reply topic: " + reply.getTopic(), reply.getTopic().endsWith("_REPLY_TOPIC"));
        Check.equal("type", "reply", reply.getProperty(MessageConst.PROPERTY_MESSAGE_TYPE));
        Check.isTrue("when it was pushed",
            Math.abs(System.currentTimeMillis() - Long.parseLong(reply.getProperty(MessageConst.PROPERTY_PUSH_REPLY_TIME))) < 60_000);
    }

    private static DefaultMQProducer requester(Cluster cluster, String what) throws Exception {
        DefaultMQProducer made = cluster.newProducer(what);
        made.start();
        return made;
    }

    private static String sync(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_sync", 2);
        DefaultMQProducer producer = requester(cluster, "request_sync");
        try (Responder responder = new Responder(cluster, "request_sync", topic)) {
            Message request = Check.message(topic, "TagA", 1);
            MessageExt reply = (MessageExt) producer.request(request, 30_000);
            replied(request, reply);
            Check.equal("born host", "127.0.0.1", reply.getBornHostString());
            Check.equal("store host", cluster.brokerAddr(),
                reply.getStoreHost().toString().substring(reply.getStoreHost().toString().indexOf('/') + 1));
            Check.sameSet(List.of(request), responder.asked);
            Check.equal("time to live", "30000", responder.asked.get(0).getProperty(MessageConst.PROPERTY_MESSAGE_TTL));
            Check.equal("failures", List.of(), responder.failures);
            return new String(reply.getBody(), StandardCharsets.UTF_8);
        } finally {
            producer.shutdown();
        }
    }

    private static String async(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_async", 2);
        DefaultMQProducer producer = requester(cluster, "request_async");
        try (Responder responder = new Responder(cluster, "request_async", topic)) {
            Message request = Check.message(topic, "TagA", 1);
            CompletableFuture<Message> future = new CompletableFuture<>();
            producer.request(request, new RequestCallback() {
                @Override
                public void onSuccess(Message message) {
                    // The 5.5.0 client calls it with nothing, too, once the request was sent.
                    if (message != null) {
                        future.complete(message);
                    }
                }

                @Override
                public void onException(Throwable e) {
                    future.completeExceptionally(e);
                }
            }, 30_000);
            replied(request, future.get(35, TimeUnit.SECONDS));
            Check.equal("failures", List.of(), responder.failures);
            return "one reply";
        } finally {
            producer.shutdown();
        }
    }

    private static String chosenQueue(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_queue", 4);
        DefaultMQProducer producer = requester(cluster, "request_queue");
        try (Responder responder = new Responder(cluster, "request_queue", topic)) {
            MessageQueue queue = cluster.queues(topic).get(3);
            Message request = Check.message(topic, "TagA", 1);
            replied(request, producer.request(request, queue, 30_000));
            Message second = Check.message(topic, "TagA", 2);
            replied(second, producer.request(second, (queues, message, argument) -> queues.get((Integer) argument), 1, 30_000));
            Check.equal("queue", queue.getQueueId(), responder.asked.get(0).getQueueId());
            return "queues " + responder.asked.get(0).getQueueId() + ", " + responder.asked.get(1).getQueueId();
        } finally {
            producer.shutdown();
        }
    }

    private static String parallel(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_many", 4);
        List<DefaultMQProducer> producers = List.of(requester(cluster, "request_many_a"), requester(cluster, "request_many_b"));
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try (Responder responder = new Responder(cluster, "request_many", topic)) {
            List<Future<Boolean>> results = new ArrayList<>();
            for (int i = 0; i < 80; i++) {
                Message request = Check.message(topic, "TagA", i);
                DefaultMQProducer producer = producers.get(i % 2);
                results.add(pool.submit(() -> {
                    replied(request, producer.request(request, 30_000));
                    return true;
                }));
            }
            for (Future<Boolean> result : results) {
                Check.equal("replied", true, result.get(35, TimeUnit.SECONDS));
            }
            Check.equal("failures", List.of(), responder.failures);
            return "80 replies to two producers";
        } finally {
            pool.shutdownNow();
            producers.forEach(DefaultMQProducer::shutdown);
        }
    }

    private static String timeout(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_timeout", 1);
        DefaultMQProducer producer = requester(cluster, "request_timeout");
        try {
            Message request = Check.message(topic, "TagA", 1);
            try {
                producer.request(request, 1_500);
                throw new AssertionError("a reply from nobody");
            } catch (RequestTimeoutException e) {
                Check.sameSet(List.of(request), cluster.readAll(topic, 1));
                return "code " + e.getResponseCode();
            }
        } finally {
            producer.shutdown();
        }
    }

    private static MessageExt storedReply(Cluster cluster, String topic, String correlationId) throws Exception {
        return Cluster.await("the stored reply", () -> {
            for (MessageExt found : cluster.readAll(topic)) {
                if (correlationId.equals(found.getProperty(MessageConst.PROPERTY_CORRELATION_ID))) {
                    return found;
                }
            }
            return null;
        });
    }

    private static String stored(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("request_stored", 1);
        DefaultMQProducer producer = requester(cluster, "request_stored");
        try (Responder responder = new Responder(cluster, "request_stored", topic)) {
            Message request = Check.message(topic, "TagA", 1);
            Message reply = producer.request(request, 30_000);
            replied(request, reply);
            String id = reply.getProperty(MessageConst.PROPERTY_CORRELATION_ID);
            MessageExt stored = storedReply(cluster, reply.getTopic(), id);
            Check.equal("body", Responder.text(request), new String(stored.getBody(), StandardCharsets.UTF_8));
            Check.equal("number", "1", stored.getProperty("number"));
            Check.equal("pushed at", null, stored.getProperty(MessageConst.PROPERTY_PUSH_REPLY_TIME));
            return stored.getTopic() + " offset " + stored.getQueueOffset();
        } finally {
            producer.shutdown();
        }
    }

    private static String nobody(Cluster cluster) throws Exception {
        String clusterName = cluster.admin.examineBrokerClusterInfo().getClusterAddrTable().keySet().iterator().next();
        Message reply = Check.message(clusterName + "_REPLY_TOPIC", null, 1);
        String id = cluster.name("nobody");
        reply.putUserProperty("number", "1");
        for (var property : Map.of(MessageConst.PROPERTY_CORRELATION_ID, id, MessageConst.PROPERTY_MESSAGE_REPLY_TO_CLIENT,
            "nobody@here", MessageConst.PROPERTY_MESSAGE_TYPE, "reply", MessageConst.PROPERTY_MESSAGE_TTL, "1000").entrySet()) {
            MessageAccessor.putProperty(reply, property.getKey(), property.getValue());
        }
        DefaultMQProducer producer = requester(cluster, "request_nobody");
        producer.setRetryTimesWhenSendFailed(0);
        try {
            SendResult result = producer.send(reply);
            throw new AssertionError("accepted: " + result);
        } catch (MQBrokerException | MQClientException wrapped) {
            MQBrokerException e = (MQBrokerException) (wrapped instanceof MQBrokerException ? wrapped : wrapped.getCause());
            Check.equal("code", 1, e.getResponseCode());
            Check.isTrue("names the client: " + e.getErrorMessage(), e.getErrorMessage().contains("nobody@here"));
            MessageExt stored = storedReply(cluster, reply.getTopic(), id);
            Check.equal("body", new String(reply.getBody(), StandardCharsets.UTF_8),
                new String(stored.getBody(), StandardCharsets.UTF_8));
            return e.getErrorMessage();
        } finally {
            producer.shutdown();
        }
    }

    /** A consumer that has taken five messages. */
    private static DefaultMQPushConsumer consumer(Cluster cluster, String what, String topic, List<MessageExt> got)
        throws Exception {
        DefaultMQPushConsumer consumer = Pushes.consumer(cluster, what);
        consumer.subscribe(topic, "TagA || TagB");
        consumer.registerMessageListener(Pushes.into(got));
        consumer.start();
        Pushes.send(cluster, topic, 0, 6, null);
        Cluster.awaitSize("messages", got, 4);
        return consumer;
    }

    private static String clientId(DefaultMQPushConsumer consumer) {
        return consumer.buildMQClientId();
    }

    private static String runningInfo(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("ask_running", 2);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = consumer(cluster, "ask_running", topic, got);
        try {
            var info = cluster.admin.getConsumerRunningInfo(consumer.getConsumerGroup(), clientId(consumer), true);
            Check.equal("orderly", "false", info.getProperties().getProperty("PROP_CONSUMEORDERLY"));
            Check.equal("type", "CONSUME_PASSIVELY", info.getProperties().getProperty("PROP_CONSUME_TYPE"));
            Check.isTrue("stacks", info.getJstack().contains("Interop") || info.getJstack().length() > 100);
            List<MessageQueue> queues = new ArrayList<>();
            info.getMqTable().keySet().stream().filter(queue -> queue.getTopic().equals(topic)).sorted().forEach(queues::add);
            Check.equal("queues", cluster.queues(topic), queues);
            boolean subscribed = info.getSubscriptionSet().stream()
                .anyMatch(data -> data.getTopic().equals(topic) && data.getSubString().equals("TagA || TagB"));
            Check.isTrue("subscription", subscribed);
            var without = cluster.admin.getConsumerRunningInfo(consumer.getConsumerGroup(), clientId(consumer), false);
            Check.isTrue("no stacks", without.getJstack() == null || without.getJstack().isEmpty());
            return queues.size() + " queues";
        } finally {
            consumer.shutdown();
        }
    }

    private static String directly(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("ask_directly", 1);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = consumer(cluster, "ask_directly", topic, got);
        try {
            // Of a tag that the consumer has not subscribed to: it comes only because it was told.
            MessageExt other = null;
            for (MessageExt message : cluster.readAll(topic)) {
                if (message.getTags().equals("TagC")) {
                    other = message;
                }
            }
            int before = got.size();
            String offsetId = ((MessageClientExt) other).getOffsetMsgId();
            var result = cluster.admin.consumeMessageDirectly(consumer.getConsumerGroup(), clientId(consumer), topic, offsetId);
            Check.equal("result", "CR_SUCCESS", result.getConsumeResult().name());
            Check.equal("orderly", false, result.isOrder());
            Check.equal("messages", before + 1, got.size());
            MessageExt last = got.get(before);
            Check.equal("body", new String(other.getBody(), StandardCharsets.UTF_8), new String(last.getBody(), StandardCharsets.UTF_8));
            Check.equal("tag", "TagC", last.getTags());
            Check.equal("number", other.getProperty("number"), last.getProperty("number"));
            return "consumed in " + result.getSpentTimeMills() + " ms";
        } finally {
            consumer.shutdown();
        }
    }

    private static String status(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("ask_status", 2);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = consumer(cluster, "ask_status", topic, got);
        try {
            return Cluster.await("offsets 3 and 3", () -> {
                var status = cluster.admin.getConsumeStatus(topic, consumer.getConsumerGroup(), "");
                Check.equal("members", Set.of(clientId(consumer)), status.keySet());
                var offsets = status.get(clientId(consumer));
                Check.equal("queues", new HashSet<>(cluster.queues(topic)), offsets.keySet());
                var one = cluster.admin.getConsumeStatus(topic, consumer.getConsumerGroup(), clientId(consumer));
                Check.equal("of the one", status.keySet(), one.keySet());
                // Messages behind the last that matches are not consumed, so two of three are enough.
                return offsets.values().stream().allMatch(offset -> offset >= 2) ? offsets.values().toString() : null;
            });
        } finally {
            consumer.shutdown();
        }
    }

    private static String absent(Cluster cluster) throws Exception {
        String group = cluster.name("ask_absent_group");
        try {
            cluster.admin.getConsumerRunningInfo(group, "nobody@here", false);
            throw new AssertionError("answered by nobody");
        } catch (Exception e) {
            String text = e.toString();
            // The admin client asks by the group's retry topic, which is not there either.
            Check.isTrue("refused: " + text, text.contains("not online") || text.contains("route"));
        }
        String topic = cluster.createTopic("ask_absent", 1);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = consumer(cluster, "ask_absent", topic, got);
        try {
            cluster.admin.getConsumerRunningInfo(consumer.getConsumerGroup(), "nobody@here", false);
            throw new AssertionError("answered by nobody");
        } catch (MQClientException e) {
            Check.equal("code", 1, e.getResponseCode());
            Check.isTrue("names both: " + e.getErrorMessage(),
                e.getErrorMessage().contains("nobody@here") && e.getErrorMessage().contains(consumer.getConsumerGroup()));
            return e.getErrorMessage();
        } finally {
            consumer.shutdown();
        }
    }

    private Requests() {}
}
