// SPDX-License-Identifier: Apache-2.0

import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Assertions that say what was expected. */
final class Check {
    static void equal(String what, Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + actual);
        }
    }

    static void isTrue(String what, boolean condition) {
        if (!condition) {
            throw new AssertionError("not so: " + what);
        }
    }

    /** A message whose body is its number and checksum, with a tag, two keys, three properties and a flag. */
    static Message message(String topic, String tag, int number) {
        String text = "message " + number + " of " + topic + " äöü €";
        Message made = new Message(topic, tag, ("k" + number) + " all", (text + " #" + text.hashCode()).getBytes(StandardCharsets.UTF_8));
        made.setFlag(number + 7);
        made.putUserProperty("number", Integer.toString(number));
        made.putUserProperty("with blanks", " x = y; ");
        made.putUserProperty("text", "grüße aus dem süden");
        return made;
    }

    static void sent(String what, SendResult result) {
        equal(what + " status", SendStatus.SEND_OK, result.getSendStatus());
        // 16 bytes as hexadecimal digits, or 28 where the machine's own address is an IPv6 one.
        isTrue(what + " has a message id: " + result.getMsgId(), result.getMsgId().matches("[0-9A-F]{32}|[0-9A-F]{56}"));
        isTrue(what + " has an offset message id: " + result.getOffsetMsgId(), result.getOffsetMsgId().matches("[0-9A-F]{32}"));
        isTrue(what + " has a queue offset", result.getQueueOffset() >= 0);
    }

    /** What came back is what was sent, and what the broker adds makes sense. */
    static void same(Message sent, MessageExt got) {
        String what = "message " + sent.getProperty("number") + " of " + sent.getTopic() + ": ";
        equal(what + "topic", sent.getTopic(), got.getTopic());
        equal(what + "body", new String(sent.getBody(), StandardCharsets.UTF_8), new String(got.getBody(), StandardCharsets.UTF_8));
        equal(what + "tag", sent.getTags(), got.getTags());
        equal(what + "keys", sent.getKeys(), got.getKeys());
        equal(what + "flag", sent.getFlag(), got.getFlag());
        for (Map.Entry<String, String> property : sent.getProperties().entrySet()) {
            // The client moves the body limit's and batch's own properties; everything the user set must be there.
            if (!property.getKey().equals("WAIT")) {
                equal(what + "property " + property.getKey(), property.getValue(), got.getProperty(property.getKey()));
            }
        }
        equal(what + "reconsume times", 0, got.getReconsumeTimes());
        isTrue(what + "born now", Math.abs(System.currentTimeMillis() - got.getBornTimestamp()) < 600_000);
        isTrue(what + "stored after it was born", got.getStoreTimestamp() >= got.getBornTimestamp() - 1000);
        equal(what + "born host", "127.0.0.1", got.getBornHostString());
    }

    /** Pairs by the "number" property: nothing lost, nothing twice, nothing foreign. */
    static void sameSet(Collection<Message> sent, Collection<? extends MessageExt> got) {
        Map<String, Message> missing = new HashMap<>();
        for (Message message : sent) {
            missing.put(message.getProperty("number"), message);
        }
        for (MessageExt message : got) {
            Message expected = missing.remove(message.getProperty("number"));
            isTrue("message " + message.getProperty("number") + " of " + message.getTopic() + " expected once: "
                + message, expected != null);
            same(expected, message);
        }
        isTrue("nothing is missing: " + new TreeMap<>(missing).keySet(), missing.isEmpty());
    }

    private Check() {}
}
