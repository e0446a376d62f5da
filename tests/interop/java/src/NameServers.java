// SPDX-License-Identifier: Apache-2.0

import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;

/** The name server and the settings of both servers through the admin interface of the client. */
final class NameServers {
    private static final String ORDER_NAMESPACE = "ORDER_TOPIC_CONFIG";
    private static final int NO_PERMISSION = 16;
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int QUERY_NOT_FOUND = 22;

    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("namesrv_kv_put_get_and_delete", NameServers::keyValue);
        behaviours.put("namesrv_kv_list_of_a_namespace", NameServers::keyValueList);
        behaviours.put("namesrv_order_config_per_cluster_and_broker", NameServers::orderConfig);
        behaviours.put("namesrv_write_permission_of_an_unknown_broker", NameServers::unknownBroker);
        behaviours.put("namesrv_config_has_the_defaults", NameServers::config);
        behaviours.put("namesrv_config_can_be_changed", NameServers::changeConfig);
        behaviours.put("namesrv_config_black_list", NameServers::blackList);
        behaviours.put("namesrv_topics_and_cluster_of_a_topic", NameServers::topicsOfCluster);
        behaviours.put("namesrv_unknown_topic_has_no_route", NameServers::unknownTopic);
        behaviours.put("broker_config_can_be_read_and_changed", NameServers::brokerConfig);
        behaviours.put("broker_config_black_list", NameServers::brokerBlackList);
    }

    private static String keyValue(Cluster cluster) throws Exception {
        String namespace = cluster.name("kv");
        for (String value : List.of("first", "b:4;c=8", "grüße äöü €")) {
            cluster.admin.createAndUpdateKvConfig(namespace, "key one", value);
            Check.equal("value", value, cluster.admin.getKVConfig(namespace, "key one"));
        }
        Check.equal("code for an unknown key", QUERY_NOT_FOUND,
            codeOf(() -> cluster.admin.getKVConfig(namespace, "key two")));
        cluster.admin.deleteKvConfig(namespace, "key one");
        Check.equal("code for a deleted key", QUERY_NOT_FOUND,
            codeOf(() -> cluster.admin.getKVConfig(namespace, "key one")));
        // Nothing is wrong with deleting what is not there.
        cluster.admin.deleteKvConfig(namespace, "key one");
        return "3 values";
    }

    private static String keyValueList(Cluster cluster) throws Exception {
        String namespace = cluster.name("kv_list");
        Check.equal("code for an unknown namespace", QUERY_NOT_FOUND,
            codeOf(() -> cluster.admin.getKVListByNamespace(namespace)));
        cluster.admin.createAndUpdateKvConfig(namespace, "a", "1");
        cluster.admin.createAndUpdateKvConfig(namespace, "b", "2");
        Check.equal("pairs", Map.of("a", "1", "b", "2"), cluster.admin.getKVListByNamespace(namespace).getTable());
        cluster.admin.deleteKvConfig(namespace, "a");
        cluster.admin.deleteKvConfig(namespace, "b");
        // An empty namespace is another thing than none.
        Check.equal("pairs left", Map.of(), cluster.admin.getKVListByNamespace(namespace).getTable());
        return "2 pairs";
    }

    private static String orderConfig(Cluster cluster) throws Exception {
        String topic = cluster.name("ordered");
        cluster.admin.createOrUpdateOrderConf(topic, "broker-x:8", true);
        Check.equal("of the cluster", "broker-x:8", cluster.admin.getKVConfig(ORDER_NAMESPACE, topic));
        cluster.admin.createOrUpdateOrderConf(topic, "broker-y:4", false);
        cluster.admin.createOrUpdateOrderConf(topic, "broker-x:6", false);
        String both = cluster.admin.getKVConfig(ORDER_NAMESPACE, topic);
        Check.equal("of both brokers", new TreeSet<>(Set.of("broker-x:6", "broker-y:4")),
            new TreeSet<>(List.of(both.split(";"))));
        var table = cluster.admin.getKVListByNamespace(ORDER_NAMESPACE).getTable();
        Check.equal("in the list", both, table.get(topic));
        cluster.admin.deleteKvConfig(ORDER_NAMESPACE, topic);
        return both;
    }

    private static String unknownBroker(Cluster cluster) throws Exception {
        String broker = cluster.name("no_such_broker");
        Check.equal("wiped", 0, cluster.admin.wipeWritePermOfBroker(cluster.namesrv, broker));
        Check.equal("added", 0, cluster.admin.addWritePermOfBroker(cluster.namesrv, broker));
        return "no topics";
    }

    private static Properties read(Cluster cluster) throws Exception {
        var all = cluster.admin.getNameServerConfig(List.of(cluster.namesrv));
        Check.equal("name servers", Set.of(cluster.namesrv), all.keySet());
        return all.get(cluster.namesrv);
    }

    private static String config(Cluster cluster) throws Exception {
        Properties config = read(cluster);
        Map<String, String> expected = Map.of(
            "listenPort", cluster.namesrv.substring(cluster.namesrv.lastIndexOf(':') + 1),
            "bindAddress", "127.0.0.1",
            "orderMessageEnable", "false",
            "returnOrderTopicConfigToBroker", "true",
            "enableAllTopicList", "true",
            "enableTopicList", "true",
            "supportActingMaster", "false",
            "unRegisterBrokerQueueCapacity", "3000",
            "scanNotActiveBrokerInterval", "5000",
            "serverChannelMaxIdleTimeSeconds", "120");
        for (Map.Entry<String, String> entry : expected.entrySet()) {
            Check.equal(entry.getKey(), entry.getValue(), config.getProperty(entry.getKey()));
        }
        Check.isTrue("a path for key-value pairs", config.getProperty("kvConfigPath").endsWith("kvConfig.json"));
        return expected.size() + " settings";
    }

    private static String changeConfig(Cluster cluster) throws Exception {
        String key = "waitSecondsForService";
        String before = read(cluster).getProperty(key);
        Check.equal("default", "45", before);
        for (String value : List.of("46", before)) {
            cluster.admin.updateNameServerConfig(properties(key, value), List.of(cluster.namesrv));
            Check.equal("changed", value, read(cluster).getProperty(key));
        }
        return key;
    }

    private static String blackList(Cluster cluster) throws Exception {
        for (String key : List.of("configBlackList", "configStorePath", "kvConfigPath", "rocketmqHome")) {
            String before = read(cluster).getProperty(key);
            int code = codeOf(() ->
                cluster.admin.updateNameServerConfig(properties(key, "/elsewhere"), List.of(cluster.namesrv)));
            Check.equal("code for " + key, NO_PERMISSION, code);
            Check.equal(key, before, read(cluster).getProperty(key));
        }
        return "4 keys";
    }

    private static String topicsOfCluster(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("of_cluster", 2);
        String name = cluster.admin.examineBrokerClusterInfo().getClusterAddrTable().keySet().iterator().next();
        var topics = cluster.admin.fetchTopicsByCLuster(name).getTopicList();
        Check.isTrue(topic + " in " + topics, topics.contains(topic) && topics.contains("TBW102"));
        Check.equal("topics of no cluster", Set.of(),
            Set.copyOf(cluster.admin.fetchTopicsByCLuster("no_such_cluster").getTopicList()));
        Check.equal("clusters of the topic", Set.of(name), cluster.admin.getTopicClusterList(topic));
        return name + ", " + topics.size() + " topics";
    }

    private static String unknownTopic(Cluster cluster) throws Exception {
        String topic = cluster.name("no_such_topic");
        Check.equal("code", TOPIC_NOT_EXIST, codeOf(() -> cluster.admin.examineTopicRouteInfo(topic)));
        return topic;
    }

    private static String brokerConfig(Cluster cluster) throws Exception {
        String key = "shortPollingTimeMills";
        Properties before = cluster.admin.getBrokerConfig(cluster.brokerAddr());
        Check.equal("default", "1000", before.getProperty(key));
        Map<String, String> expected = Map.of(
            "autoCreateTopicEnable", "true",
            "brokerClusterName", "DefaultCluster",
            "brokerId", "0",
            "brokerPermission", "6",
            "defaultTopicQueueNums", "8",
            "fileReservedTime", "72",
            "flushDiskType", "ASYNC_FLUSH",
            "maxMessageSize", "4194304",
            "namesrvAddr", cluster.namesrv);
        for (Map.Entry<String, String> entry : expected.entrySet()) {
            Check.equal(entry.getKey(), entry.getValue(), before.getProperty(entry.getKey()));
        }
        for (String value : List.of("1001", "1000")) {
            cluster.admin.updateBrokerConfig(cluster.brokerAddr(), properties(key, value));
            var now = cluster.admin.getBrokerConfig(cluster.brokerAddr());
            Check.equal("changed", value, now.getProperty(key));
            Check.equal("kept", before.getProperty("storePathRootDir"), now.getProperty("storePathRootDir"));
        }
        return key + " and " + expected.size() + " more";
    }

    private static String brokerBlackList(Cluster cluster) throws Exception {
        for (String key : List.of("brokerConfigPath", "rocketmqHome", "configBlackList")) {
            int code = codeOf(() -> cluster.admin.updateBrokerConfig(cluster.brokerAddr(), properties(key, "x")));
            Check.equal("code for " + key, NO_PERMISSION, code);
        }
        return "3 keys";
    }

    private static Properties properties(String key, String value) {
        Properties made = new Properties();
        made.setProperty(key, value);
        return made;
    }

    private interface Request {
        void run() throws Exception;
    }

    /** The code that the server refuses a request with. */
    private static int codeOf(Request request) throws Exception {
        try {
            request.run();
        } catch (MQClientException e) {
            return e.getResponseCode();
        } catch (MQBrokerException e) {
            return e.getResponseCode();
        }
        throw new AssertionError("not refused");
    }

    private NameServers() {}
}
