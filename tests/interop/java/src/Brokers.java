// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Topics that several brokers hold together; with one broker these are ordinary topics. */
final class Brokers {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("topic_on_every_broker_consumed_once", Brokers::everyBroker);
    }

    private static String everyBroker(Cluster cluster) throws Exception {
        String topic = cluster.name("on_every_broker");
        Set<String> names = new HashSet<>();
        for (var broker : cluster.admin.examineBrokerClusterInfo().getBrokerAddrTable().values()) {
            names.add(broker.getBrokerName());
            cluster.admin.createAndUpdateTopicConfig(broker.getBrokerAddrs().get(0L), new TopicConfig(topic, 4, 4, 6));
        }
        Cluster.await("a route to " + names, () -> {
            var route = cluster.admin.examineTopicRouteInfo(topic);
            return route.getQueueDatas().size() == names.size() ? route : null;
        });
        Cluster.await("queues of all brokers", () -> cluster.queues(topic).size() == 4 * names.size() ? true : null);
        List<Message> sent = new ArrayList<>(Pushes.send(cluster, topic, 0, 80, null));
        List<MessageExt> gotA = Pushes.list();
        List<MessageExt> gotB = Pushes.list();
        DefaultMQPushConsumer a = Pushes.consumer(cluster, "on_every_broker");
        a.subscribe(topic, "*");
        a.registerMessageListener(Pushes.into(gotA));
        DefaultMQPushConsumer b = Pushes.consumer(cluster, "on_every_broker");
        b.subscribe(topic, "*");
        b.registerMessageListener(Pushes.into(gotB));
        a.start();
        try {
            Cluster.awaitSize("messages that were there", gotA, 80);
            // Handed over when everything is committed, so that nothing comes twice.
            Cluster.await("committed offsets", () -> {
                a.getDefaultMQPushConsumerImpl().persistConsumerOffset();
                long committed = 0;
                for (var queue : cluster.admin.examineConsumeStats(a.getConsumerGroup(), topic).getOffsetTable().values()) {
                    committed += Math.max(queue.getConsumerOffset(), 0);
                }
                return committed == 80 ? true : null;
            });
            b.start();
            try {
                Cluster.await("queues at both consumers",
                    () -> Pushes.assigned(b, topic) == 2 * names.size()
                        && Pushes.assigned(a, topic) == 2 * names.size() ? true : null);
                sent.addAll(Pushes.send(cluster, topic, 80, 80, null));
                Cluster.await("all messages", () -> gotA.size() + gotB.size() >= sent.size() ? true : null);
            } finally {
                b.shutdown();
            }
        } finally {
            a.shutdown();
        }
        List<MessageExt> all = new ArrayList<>(gotA);
        all.addAll(gotB);
        Check.sameSet(sent, all);
        Set<String> from = new HashSet<>();
        for (MessageExt message : all) {
            from.add(message.getBrokerName());
        }
        Check.equal("brokers that messages came from", names, from);
        Check.isTrue("both consumers got some: " + gotB.size(), !gotB.isEmpty());
        return all.size() + " messages, " + names.size() + " brokers";
    }

    private Brokers() {}
}
