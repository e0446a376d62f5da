// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What brokers refuse of sends, and where messages go besides the queue that they were sent to. */
final class SendPolicies {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("send_to_a_read_only_topic", SendPolicies::readOnly);
        behaviours.put("send_to_a_queue_that_is_not_there", SendPolicies::noQueue);
        behaviours.put("send_too_many_properties", SendPolicies::properties);
        behaviours.put("send_in_unit_mode", SendPolicies::unit);
        behaviours.put("send_retry_and_dead_letter", SendPolicies::deadLetter);
        behaviours.put("send_with_trace", SendPolicies::trace);
    }

    private static String readOnly(Cluster cluster) throws Exception {
        String topic = cluster.name("read_only");
        cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), new TopicConfig(topic, 2, 2, 4));
        Cluster.await("a route for " + topic, () -> {
            var route = cluster.admin.examineTopicRouteInfo(topic);
            return route.getQueueDatas().isEmpty() ? null : route.getQueueDatas().get(0).getPerm() == 4 ? route : null;
        });
        try {
            SendResult result = cluster.producer.send(Check.message(topic, "TagA", 1));
            throw new AssertionError("accepted: " + result);
        } catch (MQClientException e) {
            Check.equal("messages", 0, cluster.readAll(topic).size());
            return String.valueOf(e.getResponseCode());
        }
    }

    private static String noQueue(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("no_queue", 2);
        MessageQueue there = cluster.queues(topic).get(0);
        try {
            SendResult result = cluster.producer.send(Check.message(topic, "TagA", 1),
                new MessageQueue(topic, there.getBrokerName(), 2));
            throw new AssertionError("accepted: " + result);
        } catch (MQBrokerException e) {
            Check.equal("code", 29, e.getResponseCode());
            Check.isTrue("names the queue: " + e.getErrorMessage(), e.getErrorMessage().contains("queueId[2]"));
            return e.getErrorMessage().substring(0, 20);
        }
    }

    private static String properties(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("properties", 1);
        Message fits = Check.message(topic, "TagA", 1);
        fits.putUserProperty("long", "x".repeat(30_000));
        Check.sent("send", cluster.producer.send(fits));
        Message beyond = Check.message(topic, "TagA", 2);
        beyond.putUserProperty("long", "x".repeat(32_768));
        DefaultMQProducer producer = cluster.newProducer("properties");
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        try {
            SendResult result = producer.send(beyond);
            throw new AssertionError("accepted: " + result);
        } catch (MQBrokerException e) {
            Check.equal("code", 13, e.getResponseCode());
            Check.sameSet(List.of(fits), cluster.readAll(topic, 1));
            return "30000 characters taken, 32768 refused";
        } finally {
            producer.shutdown();
        }
    }

    private static String unit(Cluster cluster) throws Exception {
        String topic = cluster.name("unit");
        DefaultMQProducer producer = cluster.newProducer("unit");
        producer.setUnitMode(true);
        producer.start();
        try {
            Message message = Check.message(topic, "TagA", 1);
            Check.sent("send", producer.send(message));
            Check.sameSet(List.of(message), cluster.readAll(topic, 1));
            var table = cluster.admin.getAllTopicConfig(cluster.brokerAddr(), 5_000).getTopicConfigTable();
            Check.equal("bits of the topic", 1, table.get(topic).getTopicSysFlag());
            return "sysFlag 1";
        } finally {
            producer.shutdown();
        }
    }

    /** What a consumer sends back itself: at most three times, then it is a dead letter. */
    private static String deadLetter(Cluster cluster) throws Exception {
        String group = cluster.name("worn_group");
        String retry = "%RETRY%" + group;
        for (int times = 3; times <= 4; times++) {
            Message message = Check.message(retry, "TagA", times);
            MessageAccessor.setReconsumeTime(message, Integer.toString(times));
            MessageAccessor.setMaxReconsumeTimes(message, "3");
            SendResult result = cluster.producer.send(message);
            Check.sent("send " + times, result);
            String expected = times == 3 ? retry : "%DLQ%" + group;
            MessageExt got = cluster.readAll(expected, 1).get(0);
            Check.equal("number", Integer.toString(times), got.getProperty("number"));
            Check.equal("body", new String(message.getBody(), StandardCharsets.UTF_8),
                new String(got.getBody(), StandardCharsets.UTF_8));
            Check.equal("reconsume times", times, got.getReconsumeTimes());
            Check.equal("delay", times == 3 ? null : "-1", got.getProperty("DELAY"));
        }
        Check.equal("retries", 1, cluster.readAll(retry).size());
        return "the fourth is a dead letter";
    }

    private static String trace(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("traced", 1);
        String traces = cluster.createTopic("traces", 1);
        DefaultMQProducer producer = new DefaultMQProducer(cluster.name("traced_producers"), null, true, traces);
        cluster.configure(producer, "traced");
        producer.start();
        try {
            SendResult result = producer.send(Check.message(topic, "TagA", 1));
            Check.sent("send", result);
            Check.isTrue("the broker wants traces", result.isTraceOn());
            Check.equal("region", "DefaultRegion", result.getRegionId());
            MessageExt trace = cluster.readAll(traces, 1).get(0);
            String text = new String(trace.getBody(), StandardCharsets.UTF_8);
            Check.isTrue("a trace of the send: " + text, text.startsWith("Pub") && text.contains(result.getMsgId())
                && text.contains(topic) && text.contains(result.getOffsetMsgId()));
            Check.isTrue("found by message id: " + trace.getKeys(), trace.getKeys().contains(result.getMsgId()));
            return text.length() + " characters";
        } finally {
            producer.shutdown();
        }
    }

    private SendPolicies() {}
}
