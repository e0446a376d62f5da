// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiFunction;
import java.util.function.Function;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Every way in which a transaction ends. The servers ask about open ones after 2 s, every two seconds, at most six times
 * (the harness sets that for both kinds). The official broker may ask about one that has just ended, too.
 */
final class Transactions {
    static void addTo(Map<String, Interop.Behaviour> behaviours) {
        behaviours.put("transaction_commit", Transactions::commit);
        behaviours.put("transaction_rollback", Transactions::rollback);
        behaviours.put("transaction_checked_and_committed", Transactions::checkedAndCommitted);
        behaviours.put("transaction_checked_and_rolled_back", Transactions::checkedAndRolledBack);
        behaviours.put("transaction_checked_until_decided", Transactions::checkedUntilDecided);
        behaviours.put("transaction_whose_listener_throws", Transactions::listenerThrows);
        behaviours.put("transaction_checked_at_another_producer", Transactions::otherProducer);
        behaviours.put("transaction_immune_for_a_while", Transactions::immune);
        behaviours.put("transaction_given_up", Transactions::givenUp);
        behaviours.put("transactions_mixed_to_a_push_consumer", Transactions::mixed);
    }

    /** What a listener was asked, and what it answers. */
    private static final class Listener implements TransactionListener {
        final Function<Message, LocalTransactionState> execute;
        final BiFunction<Message, Integer, LocalTransactionState> check;
        /** By number: what each question showed. */
        final Map<String, List<MessageExt>> asked = new ConcurrentHashMap<>();

        Listener(Function<Message, LocalTransactionState> execute, BiFunction<Message, Integer, LocalTransactionState> check) {
            this.execute = execute;
            this.check = check;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return execute.apply(message);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            List<MessageExt> questions = asked.computeIfAbsent(message.getProperty("number"), number -> new ArrayList<>());
            synchronized (questions) {
                questions.add(message);
                return check.apply(message, questions.size());
            }
        }

        int questions(int number) {
            List<MessageExt> questions = asked.getOrDefault(Integer.toString(number), List.of());
            synchronized (questions) {
                return questions.size();
            }
        }

        /** Waits for a question and returns what it showed. */
        MessageExt awaitQuestion(int number) throws Exception {
            Cluster.await("a question about message " + number, () -> questions(number) > 0 ? true : null);
            return asked.get(Integer.toString(number)).get(0);
        }
    }

    /** Without a flag: the official broker forgets it when it asks. */
    private static Message message(String topic, String tag, int number) {
        Message made = Check.message(topic, tag, number);
        made.setFlag(0);
        return made;
    }

    private static TransactionMQProducer producer(Cluster cluster, String what, Listener listener) throws Exception {
        TransactionMQProducer made = new TransactionMQProducer(cluster.name(what + "_producers"));
        cluster.configure(made, what);
        made.setSendMsgTimeout(10_000);
        made.setTransactionListener(listener);
        made.start();
        return made;
    }

    private static void sent(String what, Message message, LocalTransactionState state, TransactionSendResult result) {
        // The client keeps the offset message id of a half message to itself.
        Check.equal(what + " status", SendStatus.SEND_OK, result.getSendStatus());
        Check.isTrue(what + " has a message id: " + result.getMsgId(), result.getMsgId().matches("[0-9A-F]{32}|[0-9A-F]{56}"));
        Check.isTrue(what + " has an offset among half messages", result.getQueueOffset() >= 0);
        Check.equal(what + " local state", state, result.getLocalTransactionState());
        Check.equal(what + " transaction id", result.getMsgId(), result.getTransactionId());
        Check.equal(what + " topic", message.getTopic(), result.getMessageQueue().getTopic());
    }

    private static TransactionSendResult send(TransactionMQProducer producer, Message message, LocalTransactionState state)
        throws Exception {
        TransactionSendResult result = producer.sendMessageInTransaction(message, null);
        sent("transaction " + message.getProperty("number"), message, state, result);
        return result;
    }

    /** The one message of a topic is that one, and stays the only one for a while. */
    private static void only(Cluster cluster, String topic, Message message) throws Exception {
        Check.sameSet(List.of(message), cluster.readAll(topic, 1));
        Thread.sleep(4_500);
        Check.equal("messages after some more checks", 1, cluster.readAll(topic).size());
    }

    private static String commit(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_commit", 4);
        Listener listener = new Listener(message -> {
            try {
                Check.equal("messages before the commit", 0, cluster.readAll(topic).size());
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            return LocalTransactionState.COMMIT_MESSAGE;
        }, (asked, times) -> LocalTransactionState.UNKNOW);
        TransactionMQProducer producer = producer(cluster, "txn_commit", listener);
        try {
            Message message = message(topic, "TagA", 1);
            TransactionSendResult result = send(producer, message, LocalTransactionState.COMMIT_MESSAGE);
            only(cluster, topic, message);
            MessageExt got = cluster.readAll(topic).get(0);
            Check.equal("message id", result.getMsgId(), got.getMsgId());
            Check.equal("queue", result.getMessageQueue().getQueueId(), got.getQueueId());
            Check.equal("bits", 8, got.getSysFlag() & 12);
            Check.isTrue("half message before it: " + got.getPreparedTransactionOffset(),
                got.getPreparedTransactionOffset() < got.getCommitLogOffset());
            return "offset " + got.getCommitLogOffset() + ", half at " + got.getPreparedTransactionOffset();
        } finally {
            producer.shutdown();
        }
    }

    private static String rollback(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_rollback", 1);
        Listener listener = new Listener(message -> message.getTags().equals("TagA")
            ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE,
            (asked, times) -> LocalTransactionState.UNKNOW);
        TransactionMQProducer producer = producer(cluster, "txn_rollback", listener);
        try {
            send(producer, message(topic, "TagA", 1), LocalTransactionState.ROLLBACK_MESSAGE);
            Message marker = message(topic, "TagB", 2);
            send(producer, marker, LocalTransactionState.COMMIT_MESSAGE);
            only(cluster, topic, marker);
            return "1 of 2 messages";
        } finally {
            producer.shutdown();
        }
    }

    private static String checkedAndCommitted(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_checked", 1);
        Listener listener = new Listener(message -> LocalTransactionState.UNKNOW, (asked, times) -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer producer = producer(cluster, "txn_checked", listener);
        try {
            Message message = message(topic, "TagA", 1);
            TransactionSendResult result = send(producer, message, LocalTransactionState.UNKNOW);
            MessageExt shown = listener.awaitQuestion(1);
            Check.same(message, shown);
            Check.equal("transaction id", result.getTransactionId(), shown.getTransactionId());
            Check.equal("checks so far", "1", shown.getProperty(MessageConst.PROPERTY_TRANSACTION_CHECK_TIMES));
            Check.equal("real topic", topic, shown.getProperty(MessageConst.PROPERTY_REAL_TOPIC));
            only(cluster, topic, message);
            Check.equal("questions", 1, listener.questions(1));
            return "asked once";
        } finally {
            producer.shutdown();
        }
    }

    private static String checkedAndRolledBack(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_checked_rollback", 1);
        Listener listener = new Listener(message -> message.getTags().equals("TagA")
            ? LocalTransactionState.UNKNOW : LocalTransactionState.COMMIT_MESSAGE,
            (asked, times) -> LocalTransactionState.ROLLBACK_MESSAGE);
        TransactionMQProducer producer = producer(cluster, "txn_checked_rollback", listener);
        try {
            send(producer, message(topic, "TagA", 1), LocalTransactionState.UNKNOW);
            listener.awaitQuestion(1);
            Message marker = message(topic, "TagB", 2);
            send(producer, marker, LocalTransactionState.COMMIT_MESSAGE);
            only(cluster, topic, marker);
            Check.equal("questions", 1, listener.questions(1));
            return "asked once, not delivered";
        } finally {
            producer.shutdown();
        }
    }

    private static String checkedUntilDecided(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_undecided", 1);
        Listener listener = new Listener(message -> LocalTransactionState.UNKNOW,
            (asked, times) -> times < 3 ? LocalTransactionState.UNKNOW : LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer producer = producer(cluster, "txn_undecided", listener);
        try {
            Message message = message(topic, "TagA", 1);
            send(producer, message, LocalTransactionState.UNKNOW);
            Cluster.await("three questions", () -> listener.questions(1) >= 3 ? true : null);
            only(cluster, topic, message);
            List<String> counted = new ArrayList<>();
            for (MessageExt shown : listener.asked.get("1")) {
                counted.add(shown.getProperty(MessageConst.PROPERTY_TRANSACTION_CHECK_TIMES));
            }
            Check.equal("counted checks", List.of("1", "2", "3"), counted);
            return "asked three times";
        } finally {
            producer.shutdown();
        }
    }

    private static String listenerThrows(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_throws", 1);
        Listener listener = new Listener(message -> {
            throw new IllegalStateException("the local transaction failed");
        }, (asked, times) -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer producer = producer(cluster, "txn_throws", listener);
        try {
            Message message = message(topic, "TagA", 1);
            send(producer, message, LocalTransactionState.UNKNOW);
            Check.same(message, listener.awaitQuestion(1));
            only(cluster, topic, message);
            return "asked, delivered once";
        } finally {
            producer.shutdown();
        }
    }

    private static String otherProducer(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_other", 1);
        Message message = message(topic, "TagA", 1);
        Listener first = new Listener(sent -> LocalTransactionState.UNKNOW, (asked, times) -> LocalTransactionState.UNKNOW);
        TransactionMQProducer producer = producer(cluster, "txn_other", first);
        send(producer, message, LocalTransactionState.UNKNOW);
        producer.shutdown();
        Listener second = new Listener(sent -> LocalTransactionState.ROLLBACK_MESSAGE, (asked, times) -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer other = producer(cluster, "txn_other", second);
        try {
            // A client sends heartbeats to brokers of topics that it has sent to.
            send(other, message(topic, "TagA", 2), LocalTransactionState.ROLLBACK_MESSAGE);
            Check.same(message, second.awaitQuestion(1));
            only(cluster, topic, message);
            return "asked " + first.questions(1) + " times before, then committed by another";
        } finally {
            other.shutdown();
        }
    }

    private static String immune(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_immune", 1);
        Listener listener = new Listener(message -> LocalTransactionState.UNKNOW, (asked, times) -> LocalTransactionState.COMMIT_MESSAGE);
        TransactionMQProducer producer = producer(cluster, "txn_immune", listener);
        try {
            Message message = message(topic, "TagA", 1);
            message.putUserProperty(MessageConst.PROPERTY_CHECK_IMMUNITY_TIME_IN_SECONDS, "5");
            long start = System.currentTimeMillis();
            send(producer, message, LocalTransactionState.UNKNOW);
            MessageExt shown = listener.awaitQuestion(1);
            long waited = System.currentTimeMillis() - start;
            Check.isTrue("asked after 5 s, not after " + waited + " ms", waited >= 4_900);
            Check.equal("half message that it stands for", true,
                shown.getProperty(MessageConst.PROPERTY_TRANSACTION_PREPARED_QUEUE_OFFSET) != null);
            only(cluster, topic, message);
            return "asked after " + waited + " ms";
        } finally {
            producer.shutdown();
        }
    }

    private static String givenUp(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_given_up", 1);
        Listener listener = new Listener(message -> LocalTransactionState.UNKNOW, (asked, times) -> LocalTransactionState.UNKNOW);
        TransactionMQProducer producer = producer(cluster, "txn_given_up", listener);
        try {
            Message message = message(topic, "TagA", 1);
            send(producer, message, LocalTransactionState.UNKNOW);
            MessageExt moved = Cluster.await("the message among those given up", () -> {
                for (MessageExt found : cluster.readAll("TRANS_CHECK_MAX_TIME_TOPIC")) {
                    if (topic.equals(found.getProperty(MessageConst.PROPERTY_REAL_TOPIC))) {
                        return found;
                    }
                }
                return null;
            });
            Check.equal("body", new String(message.getBody(), StandardCharsets.UTF_8),
                new String(moved.getBody(), StandardCharsets.UTF_8));
            Check.equal("tag", "TagA", moved.getTags());
            Check.equal("checks", "6", moved.getProperty(MessageConst.PROPERTY_TRANSACTION_CHECK_TIMES));
            Check.equal("questions", 6, listener.questions(1));
            Check.equal("messages of the topic", 0, cluster.readAll(topic).size());
            return "asked six times, then moved";
        } finally {
            producer.shutdown();
        }
    }

    private static String mixed(Cluster cluster) throws Exception {
        String topic = cluster.createTopic("txn_mixed", 4);
        Function<Message, LocalTransactionState> state = message -> {
            switch (Integer.parseInt(message.getProperty("number")) % 3) {
                case 0:
                    return LocalTransactionState.COMMIT_MESSAGE;
                case 1:
                    return LocalTransactionState.ROLLBACK_MESSAGE;
                default:
                    return LocalTransactionState.UNKNOW;
            }
        };
        Listener listener = new Listener(state, (asked, times) -> state.apply(asked) == LocalTransactionState.UNKNOW
            ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.UNKNOW);
        TransactionMQProducer producer = producer(cluster, "txn_mixed", listener);
        List<MessageExt> got = Pushes.list();
        DefaultMQPushConsumer consumer = Pushes.consumer(cluster, "txn_mixed");
        consumer.subscribe(topic, "TagA || TagB");
        consumer.registerMessageListener(Pushes.into(got));
        consumer.start();
        try {
            String[] tags = {"TagA", "TagB", "TagC", "TagA", "TagA"};
            List<Message> wanted = new ArrayList<>();
            Set<String> open = new TreeSet<>();
            for (int i = 0; i < 90; i++) {
                Message message = message(topic, tags[i % tags.length], i);
                send(producer, message, state.apply(message));
                if (i % 3 == 2) {
                    open.add(Integer.toString(i));
                }
                if (i % 3 != 1 && !message.getTags().equals("TagC")) {
                    wanted.add(message);
                }
            }
            Cluster.awaitSize("messages", got, wanted.size());
            Check.isTrue("asked about all that are open: " + listener.asked.keySet(), listener.asked.keySet().containsAll(open));
            Thread.sleep(4_500);
            Check.sameSet(wanted, got);
            return got.size() + " of 90 messages, " + open.size() + " asked about";
        } finally {
            consumer.shutdown();
            producer.shutdown();
        }
    }

    private Transactions() {}
}
