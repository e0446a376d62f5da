// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Drives the official Java client (5.x or 4.9.x, whichever is on the class path) through its behaviours against any
 * name server and prints one JSON line per behaviour: {"name", "ok", "ms", "detail"}. Exit code 1 if one failed.
 *
 * <p>Arguments: name server address, prefix of topics and groups, then the names of behaviours (none = all). For "restart"
 * the program prints {"await":"restart"} once everything
 * else is done and goes on when it reads a line from standard input: the harness restarts the server on the same
 * ports in between.
 */
public final class Interop {
    interface Behaviour {
        /** Throws when the peer did something wrong; the returned text goes into "detail". */
        String run(Cluster cluster) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        Cluster cluster = new Cluster(args[0], args[1]);
        List<String> wanted = List.of(args).subList(2, args.length);
        Map<String, Behaviour> behaviours = new LinkedHashMap<>();
        Sends.addTo(behaviours);
        Pulls.addTo(behaviours);
        Pushes.addTo(behaviours);
        Admins.addTo(behaviours);
        Figures.addTo(behaviours);
        Queries.addTo(behaviours);
        Filters.addTo(behaviours);
        Groups.addTo(behaviours);
        Transactions.addTo(behaviours);
        Requests.addTo(behaviours);
        SendPolicies.addTo(behaviours);
        LightQueues.addTo(behaviours);
        NameServers.addTo(behaviours);
        Brokers.addTo(behaviours);
        Timers.addTo(behaviours);
        addOfVersion5(behaviours);
        for (String name : wanted) {
            if (!name.equals("restart") && !behaviours.containsKey(name)) {
                throw new IllegalArgumentException("no behaviour " + name + "; there are " + behaviours.keySet());
            }
        }
        boolean ok = true;
        cluster.start();
        // Behaviours share nothing but the server, so they wait for it side by side.
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Boolean>> results = new ArrayList<>();
        for (Map.Entry<String, Behaviour> entry : behaviours.entrySet()) {
            if (wanted.isEmpty() || wanted.contains(entry.getKey())) {
                results.add(pool.submit(() -> report(entry.getKey(), cluster, entry.getValue())));
            }
        }
        Restart restart = new Restart();
        Timers timers = new Timers();
        boolean withRestart = wanted.isEmpty() || wanted.contains("restart");
        if (withRestart) {
            results.add(pool.submit(() -> report("offsets_before_restart", cluster, restart::before)));
            results.add(pool.submit(() -> report("timers_before_restart", cluster, timers::before)));
        }
        for (Future<Boolean> result : results) {
            ok &= result.get();
        }
        pool.shutdown();
        if (withRestart) {
            System.out.println("{\"await\":\"restart\"}");
            System.out.flush();
            new BufferedReader(new InputStreamReader(System.in)).readLine();
            ok &= report("offsets_after_restart", cluster, restart::after);
            ok &= report("timers_after_restart", cluster, timers::after);
        }
        cluster.close();
        System.out.flush();
        // Client threads that linger must not decide when the program ends.
        Runtime.getRuntime().halt(ok ? 0 : 1);
    }

    /** What clients of 5.x have on top. Codes of pops do not fit binary headers, the official servers see other ones. */
    private static void addOfVersion5(Map<String, Behaviour> behaviours) throws Exception {
        if ("ROCKETMQ".equals(System.getProperty("rocketmq.serialize.type"))) {
            return;
        }
        Class<?> pops;
        try {
            pops = Class.forName("Pops");
        } catch (ClassNotFoundException e) {
            return;
        }
        pops.getMethod("addTo", Map.class).invoke(null, behaviours);
    }

    private static boolean report(String name, Cluster cluster, Behaviour behaviour) {
        long start = System.nanoTime();
        boolean ok = true;
        String detail;
        try {
            detail = behaviour.run(cluster);
        } catch (Throwable e) {
            ok = false;
            StringBuilder text = new StringBuilder(e.toString());
            for (StackTraceElement frame : e.getStackTrace()) {
                if (!frame.getClassName().contains(".")) {
                    text.append(" at ").append(frame.getFileName()).append(':').append(frame.getLineNumber());
                }
            }
            detail = text.toString();
        }
        long ms = (System.nanoTime() - start) / 1_000_000;
        synchronized (System.out) {
            System.out.println("{\"name\":\"" + name + "\",\"ok\":" + ok + ",\"ms\":" + ms
                + ",\"detail\":\"" + escape(detail) + "\"}");
            System.out.flush();
        }
        return ok;
    }

    static String escape(String text) {
        StringBuilder out = new StringBuilder();
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }

    private Interop() {}
}
