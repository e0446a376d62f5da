// SPDX-License-Identifier: Apache-2.0

import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Topics, groups and the cluster through the admin interface of the client, and what the broker refuses. */
final class Admins {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("admin_cluster_info", Admins::clusterInfo);
        behaviours.put("admin_create_list_and_delete_topic", Admins::topic);
        behaviours.put("admin_create_and_delete_group", Admins::group);
        behaviours.put("broker_refuses_too_large_body", Admins::tooLarge);
    }

    private static String clusterInfo(Cluster cluster) throws Exception {
        var info = cluster.admin.examineBrokerClusterInfo();
        Check.equal("clusters", 1, info.getClusterAddrTable().size());
        var cell = info.getClusterAddrTable().entrySet().iterator().next();
        Check.equal("brokers of the cluster", 1, cell.getValue().size());
        String broker = cell.getValue().iterator().next();
        var data = info.getBrokerAddrTable().get(broker);
        Check.equal("cluster of the broker", cell.getKey(), data.getCluster());
        Check.equal("broker name", broker, data.getBrokerName());
        Check.equal("addresses", Map.of(0L, cluster.brokerAddr()), Map.copyOf(data.getBrokerAddrs()));
        return cell.getKey() + "/" + broker + " " + data.getBrokerAddrs();
    }

    private static String topic(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("admin_topic", 6);
        var route = cluster.admin.examineTopicRouteInfo(topic);
        Check.equal("queue data", 1, route.getQueueDatas().size());
        var queues = route.getQueueDatas().get(0);
        Check.equal("read queues", 6, queues.getReadQueueNums());
        Check.equal("write queues", 6, queues.getWriteQueueNums());
        Check.equal("permission", 6, queues.getPerm());
        Check.equal("broker data", 1, route.getBrokerDatas().size());
        Check.equal("master address", cluster.brokerAddr(), route.getBrokerDatas().get(0).getBrokerAddrs().get(0L));
        Check.equal("queues seen by a consumer", 6, cluster.queues(topic).size());
        Check.isTrue("in the topic list", cluster.admin.fetchAllTopicList().getTopicList().contains(topic));
        Check.isTrue("template topic in the list", cluster.admin.fetchAllTopicList().getTopicList().contains("TBW102"));
        Check.sent("send", cluster.producer.send(Check.message(topic, "TagA", 1)));

        String clusterName = cluster.admin.examineBrokerClusterInfo().getClusterAddrTable().keySet().iterator().next();
        cluster.admin.deleteTopicInBroker(Set.of(cluster.brokerAddr()), topic);
        // A registration of the broker that was under way brings the topic back to the name server, so ask again.
        Cluster.await("the route's end", () -> {
            deleteAtNameServer(cluster, clusterName, topic);
            try {
                cluster.admin.examineTopicRouteInfo(topic);
                return null;
            } catch (MQClientException e) {
                return e.getResponseCode() == 17 ? true : null;
            }
        });
        Check.isTrue("gone from the topic list", !cluster.admin.fetchAllTopicList().getTopicList().contains(topic));
        String again = cluster.createTopic("admin_topic", 2);
        Check.equal("a topic of that name again is empty", 0, cluster.readAll(again).size());
        return "6 queues, listed, deleted, made again";
    }

    private static void deleteAtNameServer(Cluster cluster, String clusterName, String topic) throws Exception {
        // The last two arguments changed places between 4.9 and 5.
        boolean five = MQVersion.CURRENT_VERSION >= MQVersion.Version.V5_0_0.ordinal();
        cluster.admin.deleteTopicInNameServer(Set.of(cluster.namesrv), five ? clusterName : topic, five ? topic : clusterName);
    }

    private static String group(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("admin_group", 1);
        MessageQueue queue = cluster.queues(topic).get(0);
        Check.sent("send", cluster.producer.send(Check.message(topic, "TagA", 1)));
        String group = cluster.name("closed_group");
        cluster.setGroup(group, "setConsumeEnable", false);
        DefaultMQPullConsumer puller = new DefaultMQPullConsumer(group);
        cluster.configure(puller, "group");
        puller.start();
        try {
            MQBrokerException e = Pulls.refused("pull of a group with consumeEnable=false", () -> puller.pull(queue, "*", 0, 1));
            Check.equal("code", 16, e.getResponseCode());
            cluster.setGroup(group, "setConsumeEnable", true);
            Check.equal("status after opening", PullStatus.FOUND, puller.pull(queue, "*", 0, 1).getPullStatus());
            cluster.setGroup(group, "setConsumeEnable", false);
            cluster.admin.deleteSubscriptionGroup(cluster.brokerAddr(), group, true);
            Check.equal("status after deletion (made again on demand)", PullStatus.FOUND, puller.pull(queue, "*", 0, 1).getPullStatus());
        } finally {
            puller.shutdown();
        }
        return "consumeEnable=false refused with 16";
    }

    private static String tooLarge(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("too_large", 1);
        byte[] body = new byte[5 * 1024 * 1024];
        new Random(7).nextBytes(body);
        DefaultMQProducer producer = cluster.newProducer("too_large");
        producer.setMaxMessageSize(8 * 1024 * 1024);
        producer.start();
        try {
            MQBrokerException e = Pulls.refused("send of 5 MiB", () -> producer.send(new Message(topic, body)));
            Check.equal("code", 13, e.getResponseCode());
            Check.sent("the connection goes on", producer.send(Check.message(topic, "TagA", 1)));
            return "13: " + e.getErrorMessage();
        } finally {
            producer.shutdown();
        }
    }

    private Admins() {}
}
