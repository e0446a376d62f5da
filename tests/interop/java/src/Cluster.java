// SPDX-License-Identifier: Apache-2.0

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** The servers under test, with the handles that behaviours share: one admin, one producer, one reader. */
final class Cluster {
    static final long DEADLINE_MS = 40_000;
    private static final AtomicInteger INSTANCES = new AtomicInteger();

    final String namesrv;
    final DefaultMQAdminExt admin;
    final DefaultMQProducer producer;
    private final DefaultMQPullConsumer reader;
    private final String prefix;
    private String brokerAddr;

    Cluster(String namesrv, String prefix) {
        this.namesrv = namesrv;
        this.prefix = prefix;
        admin = new DefaultMQAdminExt(15_000);
        configure(admin, "admin");
        producer = newProducer("shared");
        reader = new DefaultMQPullConsumer(name("reader"));
        configure(reader, "reader");
    }

    void start() throws Exception {
        admin.start();
        producer.start();
        reader.start();
        brokerAddr = await("a broker in the cluster info", () -> {
            for (var broker : admin.examineBrokerClusterInfo().getBrokerAddrTable().values()) {
                return broker.getBrokerAddrs().get(0L);
            }
            return null;
        });
    }

    void close() {
        producer.shutdown();
        reader.shutdown();
        admin.shutdown();
    }

    String brokerAddr() {
        return brokerAddr;
    }

    /** A name of this run, so that runs against one server do not meet. */
    String name(String what) {
        return prefix + "_" + what;
    }

    /**
     * Every client is its own instance with its own connections. The 5.5.0 client may lose the heartbeat that tells the
     * broker of a new subscription version (two of its threads send one at a time) and is then refused until the
     * next; a second between heartbeats instead of thirty keeps that short.
     */
    void configure(ClientConfig client, String what) {
        client.setNamesrvAddr(namesrv);
        client.setInstanceName(what + "-" + ProcessHandle.current().pid() + "-" + INSTANCES.incrementAndGet());
        client.setHeartbeatBrokerInterval(1000);
        client.setPollNameServerInterval(1000);
    }

    DefaultMQProducer newProducer(String what) {
        DefaultMQProducer made = new DefaultMQProducer(name(what + "_producers"));
        configure(made, what);
        made.setSendMsgTimeout(10_000);
        return made;
    }

    /** Creates a topic through the broker and waits until the name server gives out its route. */
    String createTopic(String what, int queues) throws Exception {
        String topic = name(what);
        admin.createAndUpdateTopicConfig(brokerAddr, new TopicConfig(topic, queues, queues, 6));
        await("a route for " + topic, () -> {
            var route = admin.examineTopicRouteInfo(topic);
            return route.getQueueDatas().isEmpty() ? null : route;
        });
        return topic;
    }

    /** Creates a group, or replaces it, with one switch of its configuration set. */
    void setGroup(String group, String setter, boolean value) throws Exception {
        // The class moved to another package between 4.9 and 5.
        for (Method method : admin.getClass().getMethods()) {
            if (method.getName().equals("createAndUpdateSubscriptionGroupConfig")) {
                Class<?> type = method.getParameterTypes()[1];
                Object config = type.getConstructor().newInstance();
                type.getMethod("setGroupName", String.class).invoke(config, group);
                type.getMethod(setter, boolean.class).invoke(config, value);
                method.invoke(admin, brokerAddr, config);
                return;
            }
        }
        throw new IllegalStateException("no createAndUpdateSubscriptionGroupConfig");
    }

    List<MessageQueue> queues(String topic) throws Exception {
        Set<MessageQueue> found = await("queues of " + topic, () -> {
            Set<MessageQueue> set = reader.fetchSubscribeMessageQueues(topic);
            return set.isEmpty() ? null : set;
        });
        return new ArrayList<>(new TreeSet<>(found));
    }

    /** Everything the topic holds, by pulling every queue from its first offset; ordered by queue, then offset. */
    List<MessageExt> readAll(String topic) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        for (MessageQueue queue : queues(topic)) {
            long offset = reader.minOffset(queue);
            long end = reader.maxOffset(queue);
            while (offset < end) {
                PullResult result = reader.pull(queue, "*", offset, 32);
                Check.equal("status of a pull below the end", PullStatus.FOUND, result.getPullStatus());
                for (MessageExt message : result.getMsgFoundList()) {
                    Check.equal("offset of the next message", offset, message.getQueueOffset());
                    offset++;
                    all.add(message);
                }
                Check.equal("next begin offset", offset, result.getNextBeginOffset());
            }
        }
        all.sort(Comparator.comparingInt(MessageExt::getQueueId).thenComparingLong(MessageExt::getQueueOffset));
        return all;
    }

    /**
     * Reads until the topic holds as many messages as expected: one-way sends arrive when they arrive, and the reference
     * shows a message to consumers a moment after it has acknowledged it.
     */
    List<MessageExt> readAll(String topic, int expected) throws Exception {
        return await(expected + " messages in " + topic, () -> {
            List<MessageExt> all = readAll(topic);
            return all.size() >= expected ? all : null;
        });
    }

    /** Asks again until the answer is not null; exceptions count as "not yet" and end up in the time-out's cause. */
    static <T> T await(String what, Callable<T> condition) throws Exception {
        long deadline = System.currentTimeMillis() + DEADLINE_MS;
        Exception last = null;
        while (System.currentTimeMillis() < deadline) {
            try {
                T value = condition.call();
                if (value != null) {
                    return value;
                }
            } catch (Exception e) {
                last = e;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("no " + what + " within " + DEADLINE_MS + " ms, last error: " + last, last);
    }

    static void awaitSize(String what, Collection<?> collection, int size) throws Exception {
        try {
            await(size + " " + what, () -> collection.size() >= size ? Boolean.TRUE : null);
        } catch (IllegalStateException e) {
            throw new IllegalStateException(e.getMessage() + "; there were " + collection.size(), e);
        }
    }
}
