// SPDX-License-Identifier: Apache-2.0

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs sub-commands of the official mqadmin one after the other in one JVM and prints a JSON line for each: {"name",
 * "ok", "ms", "detail"}, where detail is what the command printed and ok says that it ended.
 *
 * <p>Arguments: name server address, a file with one command a line, its words separated by tabs. Before them it makes
 * what they look at: topic "data" with 4 queues and 3 messages in each, a producer of group "makers", a consumer of
 * group "readers" that has consumed and committed all, and a message to topic "late" that waits in the highest delay
 * level. Words in braces are replaced: {namesrv} {broker} {offsetId} {uniqueId} {client} {now} {dir}.
 */
public final class AdminTool {
    private static final int QUEUES = 4;
    private static final int MESSAGES = 12;
    /** Two hours. */
    private static final int HIGHEST_LEVEL = 18;
    private static final long COMMAND_MS = 40_000;
    /** A line of the log with the stack of its exception. */
    private static final Pattern LOGGED = Pattern.compile(
        "\\d\\d:\\d\\d:\\d\\d\\.\\d{3} (WARN|ERROR|INFO) .*\\R(java\\.(lang\\.Interrupted|util\\.concurrent\\.RejectedExecution)Exception.*\\R((\\tat|\\t\\.\\.\\.|Caused by:) ?.*\\R)+)?");

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        Cluster cluster = new Cluster(args[0], "admin");
        cluster.start();
        Path commands = Path.of(args[1]);
        Map<String, String> words = new HashMap<>();
        words.put("namesrv", args[0]);
        words.put("broker", cluster.brokerAddr());
        words.put("dir", commands.toAbsolutePath().getParent().toString());
        cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), new org.apache.rocketmq.common.TopicConfig("data", QUEUES, QUEUES, 6));
        DefaultMQProducer producer = new DefaultMQProducer("makers");
        cluster.configure(producer, "makers");
        producer.start();
        DefaultMQPushConsumer consumer = consumer(cluster);
        fill(cluster, producer, words);
        consumed(cluster);
        delay(cluster, producer);
        words.put("client", consumer.buildMQClientId());
        words.put("now", Long.toString(System.currentTimeMillis()));

        ExecutorService pool = Executors.newCachedThreadPool();
        for (String line : Files.readAllLines(commands)) {
            run(out, pool, line, words);
        }
        out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

    private static DefaultMQPushConsumer consumer(Cluster cluster) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("readers");
        cluster.configure(consumer, "readers");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPersistConsumerOffsetInterval(300);
        consumer.subscribe("data", "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            // Some commands send messages without keys.
            messages.forEach(message -> SEEN.add(String.valueOf(message.getKeys())));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private static void fill(Cluster cluster, DefaultMQProducer producer, Map<String, String> words) throws Exception {
        List<MessageQueue> queues = Cluster.await("a route", () -> {
            List<MessageQueue> found = cluster.queues("data");
            return found.size() == QUEUES ? found : null;
        });
        for (int i = 0; i < MESSAGES; i++) {
            Message message = new Message("data", "TagA", "key" + i, ("body " + i).getBytes(StandardCharsets.UTF_8));
            SendResult result = producer.send(message, queues.get(i % QUEUES));
            words.put("offsetId", result.getOffsetMsgId());
            words.put("uniqueId", result.getMsgId());
        }
    }

    private static void consumed(Cluster cluster) throws Exception {
        Cluster.awaitSize("consumed messages", SEEN, MESSAGES);
        Cluster.await("committed offsets", () -> {
            var stats = cluster.admin.examineConsumeStats("readers");
            long committed = 0;
            for (var entry : stats.getOffsetTable().entrySet()) {
                if (entry.getKey().getTopic().equals("data")) {
                    committed += entry.getValue().getConsumerOffset();
                }
            }
            return committed == MESSAGES ? true : null;
        });
    }

    /** Sends a message that waits, and waits until the broker shows how far its delay level was delivered. */
    private static void delay(Cluster cluster, DefaultMQProducer producer) throws Exception {
        cluster.admin.createAndUpdateTopicConfig(cluster.brokerAddr(), new org.apache.rocketmq.common.TopicConfig("late", 1, 1, 6));
        Cluster.await("a route", () -> cluster.queues("late").size() == 1 ? true : null);
        Message message = new Message("late", "waits".getBytes(StandardCharsets.UTF_8));
        message.setDelayTimeLevel(HIGHEST_LEVEL);
        producer.send(message);
        Cluster.await("progress of the delay level", () -> {
            Map<String, String> figures = cluster.admin.fetchBrokerRuntimeStats(cluster.brokerAddr()).getTable();
            return figures.get("scheduleMessageOffset_" + HIGHEST_LEVEL);
        });
    }

    private static void run(PrintStream out, ExecutorService pool, String line, Map<String, String> words) {
        for (Map.Entry<String, String> word : words.entrySet()) {
            line = line.replace("{" + word.getKey() + "}", word.getValue());
        }
        List<String> command = new ArrayList<>(List.of(line.split("\t")));
        String name = command.remove(0);
        String[] arguments = command.toArray(new String[0]);
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        ByteArrayOutputStream failed = new ByteArrayOutputStream();
        PrintStream capture = new PrintStream(printed, true, StandardCharsets.UTF_8);
        PrintStream err = System.err;
        System.setOut(capture);
        System.setErr(new PrintStream(failed, true, StandardCharsets.UTF_8));
        long start = System.nanoTime();
        AtomicReference<Thread> thread = new AtomicReference<>();
        Future<?> done = pool.submit(() -> {
            thread.set(Thread.currentThread());
            MQAdminStartup.main0(arguments, null);
        });
        boolean ok = true;
        try {
            long deadline = System.currentTimeMillis() + COMMAND_MS;
            while (!done.isDone() && System.currentTimeMillis() < deadline) {
                Thread.sleep(10);
                hurry(thread.get());
            }
            done.get(0, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            ok = false;
            done.cancel(true);
            capture.print("(did not end)");
        } catch (Exception e) {
            ok = false;
            capture.print(e);
        }
        long ms = (System.nanoTime() - start) / 1_000_000;
        System.setErr(err);
        // An exception is told on the standard error output, between the lines of the client's log.
        capture.print(LOGGED.matcher(failed.toString(StandardCharsets.UTF_8)).replaceAll(""));
        capture.flush();
        out.println("{\"name\":\"" + Interop.escape(name) + "\",\"ok\":" + ok + ",\"ms\":" + ms + ",\"detail\":\""
            + Interop.escape(printed.toString(StandardCharsets.UTF_8)) + "\"}");
        out.flush();
    }

    /**
     * Each command makes a client and shuts it down, which waits until a thread of it wakes from a poll of three seconds.
     * Woken earlier it looks whether it should stop, and goes on if not.
     */
    private static void hurry(Thread command) {
        if (command == null || command.getState() != Thread.State.TIMED_WAITING) {
            return;
        }
        for (StackTraceElement frame : command.getStackTrace()) {
            if (frame.getMethodName().equals("shutdown")) {
                Thread[] threads = new Thread[Thread.activeCount() * 2 + 16];
                int count = Thread.enumerate(threads);
                for (int i = 0; i < count; i++) {
                    if (threads[i].getName().equals("NettyEventExecutor")) {
                        threads[i].interrupt();
                    }
                }
                return;
            }
        }
    }

    private AdminTool() {}
}
