// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Single messages by key, unique id and offset id. */
final class Queries {
    private static final int COUNT = 10;

    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("query_by_key", Queries::byKey);
        behaviours.put("view_by_unique_and_offset_id", Queries::byId);
    }

    private static List<Message> send(Cluster cluster, String topic, List<SendResult> results) throws Exception {
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            Message message = Check.message(topic, "TagA", i);
            SendResult result = cluster.producer.send(message);
            Check.sent("send " + i, result);
            results.add(result);
            sent.add(message);
        }
        return sent;
    }

    private static String byKey(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("query_key", 2);
        long start = System.currentTimeMillis();
        List<Message> sent = send(cluster, topic, new ArrayList<>());
        // The broker may index later than it acknowledges.
        QueryResult all = Cluster.await("all messages by their common key", () -> {
            QueryResult found = query(cluster, topic, "all", 32, 0, Long.MAX_VALUE);
            return found != null && found.getMessageList().size() == COUNT ? found : null;
        });
        Check.sameSet(sent, all.getMessageList());
        Check.isTrue("the index says when it was updated", all.getIndexLastUpdateTimestamp() >= start);
        List<MessageExt> one = query(cluster, topic, "k3", 32, start - 60_000, start + 600_000).getMessageList();
        Check.sameSet(sent.subList(3, 4), one);
        Check.equal("at most four", 4, query(cluster, topic, "all", 4, 0, Long.MAX_VALUE).getMessageList().size());
        Check.equal("no such key", null, query(cluster, topic, "nothing", 32, 0, Long.MAX_VALUE));
        Check.equal("before the first", null, query(cluster, topic, "all", 32, 0, start - 60_000));
        return COUNT + " messages";
    }

    /** What is found, or null; the client throws then. */
    private static QueryResult query(Cluster cluster, String topic, String key, int max, long from, long to) throws Exception {
        try {
            return cluster.producer.queryMessage(topic, key, max, from, to);
        } catch (MQClientException e) {
            // ResponseCode.NO_MESSAGE
            Check.equal("code of " + e, 208, e.getResponseCode());
            return null;
        }
    }

    private static String byId(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("query_id", 2);
        List<SendResult> results = new ArrayList<>();
        List<Message> sent = send(cluster, topic, results);
        Set<String> ids = new TreeSet<>();
        for (int i = 0; i < COUNT; i++) {
            SendResult result = results.get(i);
            MessageExt byUnique = Cluster.await("message by its unique id", () -> {
                try {
                    return cluster.producer.viewMessage(topic, result.getMsgId());
                } catch (MQClientException e) {
                    return null;
                }
            });
            MessageExt byOffset = cluster.producer.viewMessage(topic, result.getOffsetMsgId());
            for (MessageExt found : List.of(byUnique, byOffset)) {
                Check.same(sent.get(i), found);
                Check.equal("unique id", result.getMsgId(), found.getMsgId());
                Check.equal("queue offset", result.getQueueOffset(), found.getQueueOffset());
            }
            ids.add(result.getMsgId());
        }
        return ids.size() + " ids";
    }

    private Queries() {}
}
