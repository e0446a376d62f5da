// SPDX-License-Identifier: Apache-2.0

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.FilterFactory;

/**
 * Fills in the answers of sql92.txt with the official filter: reads the file and writes it to standard output.
 *
 * <p>Lines "= name=value|..." are property sets; every other line is the answers, a tab and an expression with the escapes
 * \n \r \t \f \\. The answers are "error" if it does not compile, else one letter for each set: T true, F false, N null, X an
 * exception.
 */
public final class Sql92 {
    public static void main(String[] args) throws Exception {
        List<Map<String, String>> sets = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            if (line.startsWith("#")) {
                System.out.println(line);
            } else if (line.startsWith("=")) {
                Map<String, String> set = new HashMap<>();
                for (String pair : line.substring(1).trim().split("\\|")) {
                    if (!pair.isEmpty()) {
                        set.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
                    }
                }
                sets.add(set);
                System.out.println(line);
            } else {
                String text = line.substring(line.indexOf('\t') + 1);
                System.out.println(answers(unescape(text), sets) + "\t" + text);
            }
        }
    }

    private static String answers(String text, List<Map<String, String>> sets) {
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(text);
        } catch (Throwable e) {
            return "error";
        }
        StringBuilder answers = new StringBuilder();
        for (Map<String, String> set : sets) {
            try {
                Object answer = expression.evaluate(new EvaluationContext() {
                    @Override
                    public Object get(String name) {
                        return set.get(name);
                    }

                    @Override
                    public Map<String, Object> keyValues() {
                        return new HashMap<>(set);
                    }
                });
                answers.append(answer == null ? 'N' : (Boolean) answer ? 'T' : 'F');
            } catch (Throwable e) {
                answers.append('X');
            }
        }
        return answers.toString();
    }

    private static String unescape(String text) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '\\') {
                c = text.charAt(++i);
                int at = "nrtf\\".indexOf(c);
                c = "\n\r\t\f\\".charAt(at);
            }
            out.append(c);
        }
        return out.toString();
    }

    private Sql92() {}
}
