// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Light queues: messages that are found in further queues which they name. */
final class LightQueues {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("light_queues_get_what_names_them", LightQueues::dispatch);
        behaviours.put("light_queue_offsets", LightQueues::offsets);
    }

    /** Sends to the topic's queues in turn; each message also names the light queues that its number divides. */
    private static List<Message> send(Cluster cluster, String topic, int count, String... lights) throws Exception {
        List<Message> sent = new ArrayList<>();
        List<MessageQueue> queues = cluster.queues(topic);
        for (int i = 0; i < count; i++) {
            Message message = Check.message(topic, "TagA", i);
            List<String> named = new ArrayList<>();
            for (int light = 0; light < lights.length; light++) {
                if (i % (light + 1) == 0) {
                    named.add(lights[light]);
                }
            }
            MessageAccessor.putProperty(message, MessageConst.PROPERTY_INNER_MULTI_DISPATCH, String.join(",", named));
            SendResult result = cluster.producer.send(message, queues.get(i % queues.size()));
            Check.sent("send " + i, result);
            Check.equal("topic of the queue", topic, result.getMessageQueue().getTopic());
            sent.add(message);
        }
        return sent;
    }

    private static List<MessageExt> read(DefaultMQPullConsumer reader, MessageQueue queue, int count) throws Exception {
        List<MessageExt> got = new ArrayList<>();
        Cluster.await(count + " messages in " + queue.getTopic(), () -> {
            PullResult result = reader.pull(queue, "*", got.size(), 32);
            if (result.getPullStatus() == PullStatus.FOUND) {
                got.addAll(result.getMsgFoundList());
                Check.equal("next offset", (long) got.size(), result.getNextBeginOffset());
            }
            return got.size() >= count ? true : null;
        });
        return got;
    }

    private static DefaultMQPullConsumer reader(Cluster cluster, String what, String group, String topic) throws Exception {
        DefaultMQPullConsumer reader = new DefaultMQPullConsumer(group);
        cluster.configure(reader, what);
        reader.start();
        // So that it knows where the broker is.
        reader.fetchSubscribeMessageQueues(topic);
        reader.pull(cluster.queues(topic).get(0), "*", 0, 1);
        return reader;
    }

    private static String dispatch(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("light", 3);
        String[] lights = {"%LMQ%" + cluster.name("a"), "%LMQ%" + cluster.name("b"), "%LMQ%" + cluster.name("c")};
        List<Message> sent = send(cluster, topic, 60, lights);
        Check.sameSet(sent, cluster.readAll(topic, 60));
        DefaultMQPullConsumer reader = reader(cluster, "light", cluster.name("light_readers"), topic);
        try {
            for (int light = 0; light < lights.length; light++) {
                List<Message> wanted = new ArrayList<>();
                for (int i = 0; i < sent.size(); i += light + 1) {
                    wanted.add(sent.get(i));
                }
                MessageQueue queue = new MessageQueue(lights[light], cluster.queues(topic).get(0).getBrokerName(), 0);
                List<MessageExt> got = read(reader, queue, wanted.size());
                Check.equal("messages of " + lights[light], wanted.size(), got.size());
                for (int i = 0; i < got.size(); i++) {
                    MessageExt message = got.get(i);
                    Check.equal("number", wanted.get(i).getProperty("number"), message.getProperty("number"));
                    Check.equal("body", new String(wanted.get(i).getBody()), new String(message.getBody()));
                    String[] names = message.getProperty(MessageConst.PROPERTY_INNER_MULTI_DISPATCH).split(",");
                    String[] places = message.getProperty(MessageConst.PROPERTY_INNER_MULTI_QUEUE_OFFSET).split(",");
                    Check.equal("places", names.length, places.length);
                    int at = List.of(names).indexOf(lights[light]);
                    Check.equal("place of " + i, (long) i, Long.parseLong(places[at]));
                }
            }
            return "60, 30 and 20 messages";
        } finally {
            reader.shutdown();
        }
    }

    private static String offsets(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("light_offsets", 1);
        String light = "%LMQ%" + cluster.name("offsets");
        send(cluster, topic, 10, light);
        String group = "%LMQ%" + cluster.name("light_group");
        DefaultMQPullConsumer reader = reader(cluster, "light_offsets", group, topic);
        try {
            MessageQueue queue = new MessageQueue(light, cluster.queues(topic).get(0).getBrokerName(), 0);
            Check.equal("messages", 10, read(reader, queue, 10).size());
            Check.equal("end", 10L, reader.maxOffset(queue));
            Check.equal("beginning", 0L, reader.minOffset(queue));
            reader.getDefaultMQPullConsumerImpl().updateConsumeOffset(queue, 7);
            reader.getDefaultMQPullConsumerImpl().getOffsetStore().updateConsumeOffsetToBroker(queue, 7, false);
            return Cluster.await("the offset", () -> {
                long offset = reader.getDefaultMQPullConsumerImpl().fetchConsumeOffset(queue, true);
                return offset == 7 ? "7 of 10" : null;
            });
        } finally {
            reader.shutdown();
        }
    }

    private LightQueues() {}
}
