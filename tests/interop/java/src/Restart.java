// SPDX-License-Identifier: Apache-2.0

import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Offsets over a restart of the servers: a pull group that stopped half-way, a push group that stopped before new
 * messages came, and a push consumer that stays connected throughout.
 */
final class Restart {
    private String half;
    private String stopped;
    private String live;
    private List<Message> halfSent;
    private final List<MessageExt> halfGot = new ArrayList<>();
    private List<Message> stoppedRest;
    private List<Message> liveSent;
    private final List<MessageExt> liveGot = Pushes.list();
    private DefaultMQPushConsumer liveConsumer;

    String before(Cluster cluster) throws Exception {
        half = cluster.createTopic("restart_half", 4);
        halfSent = Pushes.send(cluster, half, 0, 60, null);
        DefaultLitePullConsumer consumer = Pulls.lite(cluster, "restart_half");
        consumer.setPullBatchSize(5);
        consumer.subscribe(half, "*");
        consumer.start();
        halfGot.addAll(Pulls.pollUntil(consumer, 30));
        Pulls.commit(consumer, halfGot);
        consumer.shutdown();
        Check.isTrue("only a part was polled: " + halfGot.size(), halfGot.size() < 60);

        stopped = cluster.createTopic("restart_stopped", 4);
        List<Message> first = Pushes.send(cluster, stopped, 0, 30, null);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer push = Pushes.consumer(cluster, "restart_stopped");
        push.subscribe(stopped, "*");
        push.registerMessageListener(Pushes.into(got));
        push.start();
        Cluster.awaitSize("messages", got, 30);
        push.shutdown();
        Check.sameSet(first, got);
        stoppedRest = Pushes.send(cluster, stopped, 30, 30, null);

        live = cluster.createTopic("restart_live", 4);
        liveSent = Pushes.send(cluster, live, 0, 20, null);
        liveConsumer = Pushes.consumer(cluster, "restart_live");
        liveConsumer.subscribe(live, "*");
        liveConsumer.registerMessageListener(Pushes.into(liveGot));
        liveConsumer.start();
        Cluster.awaitSize("messages", liveGot, 20);
        return halfGot.size() + " of 60 pulled, 30 of 60 pushed, one consumer stays";
    }

    String after(Cluster cluster) throws Exception {
        if (liveConsumer == null) {
            throw new IllegalStateException("the part before the restart failed");
        }
        // The producer that was open before the restart finds the server again.
        Cluster.await("the producer's way back", () -> {
            Message marker = Check.message(cluster.name("restart_marker"), "TagA", 0);
            return cluster.producer.send(marker).getMsgId();
        });
        DefaultLitePullConsumer consumer = Pulls.lite(cluster, "restart_half");
        consumer.subscribe(half, "*");
        consumer.start();
        halfGot.addAll(Pulls.pollUntil(consumer, 60 - halfGot.size()));
        consumer.shutdown();
        Check.sameSet(halfSent, halfGot);

        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer push = Pushes.consumer(cluster, "restart_stopped");
        push.subscribe(stopped, "*");
        push.registerMessageListener(Pushes.into(got));
        push.start();
        Cluster.awaitSize("messages", got, 30);
        push.shutdown();
        Check.sameSet(stoppedRest, got);

        liveSent.addAll(Pushes.send(cluster, live, 20, 20, null));
        Cluster.awaitSize("messages at the consumer that stayed", liveGot, 40);
        liveConsumer.shutdown();
        Check.sameSet(liveSent, liveGot);
        return "rest of 60 pulled, 30 pushed, consumer that stayed got 20 more; none twice";
    }
}
