package io.flinktraces;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.events.Event;
import org.apache.flink.traces.Span;

/**
 * Checks the encoder with the examples that the native side reads, too. The argument is the file with the examples.
 *
 * <p>With a second argument, it prints the examples instead.
 */
public final class EncoderTest {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> actual = new LinkedHashMap<>();
        for (Map.Entry<String, Object> example : examples().entrySet()) {
            actual.put(example.getKey(), hex(encoded(example.getValue())));
        }
        if (arguments.length > 1) {
            actual.forEach((name, bytes) -> System.out.println(name + '\n' + bytes + "\n"));
            return;
        }
        Map<String, String> expected = new LinkedHashMap<>();
        for (String block : new String(Files.readAllBytes(Paths.get(arguments[0])), StandardCharsets.UTF_8).split("\n\n")) {
            String[] lines = block.trim().split("\n");
            expected.put(lines[0], lines[1]);
        }
        require(expected.equals(actual), "expected " + expected + ", found " + actual);
        deepTreeNeedsNoStack();
        largeRecordComesInPieces();
        failedRecordIsReported();
        textThatComesAgainIsTheSame();
        repeatedTextsAreReferences();
        recordsAreKeptInOrder();
        recordsAfterAFailedOutputAreIntact();
        recordAfterAFailedLastPieceIsIntact();
        librariesHaveNames();
        System.out.println(actual.size() + " examples agree");
    }

    private static Map<String, Object> examples() {
        Map<String, Object> examples = new LinkedHashMap<>();
        examples.put("leaf", new Node("com.example.Scope", "leaf", 1_795_230_917_019L, 1_795_230_917_430L));
        Node values = new Node("s", "values", 0, -1);
        values.attributes.put("text", "value");
        values.attributes.put("long", Long.MIN_VALUE);
        values.attributes.put("int", 7);
        values.attributes.put("double", -0.5);
        values.attributes.put("not a number", Double.NaN);
        values.attributes.put("true", true);
        values.attributes.put("false", false);
        values.attributes.put("null", null);
        values.attributes.put("other", Arrays.asList(1, 2));
        examples.put("values", values);
        Node texts = new Node(null, "", Long.MAX_VALUE, Long.MIN_VALUE);
        texts.attributes.put("\u00fc\u4e16\ud83d\ude00", "half a pair: \ud83d");
        texts.attributes.put("", repeat('a', 126));
        texts.attributes.put("longer", repeat('b', 127));
        texts.attributes.put("zero", "a\0b");
        examples.put("texts", texts);
        Node tree = new Node("s", "root", 1, 9);
        Node first = new Node("s", "first", 2, 3);
        first.children.add(new Node("s", "grandchild", 2, 2));
        tree.children.add(first);
        tree.children.add(new Node("t", "second", 4, 5));
        examples.put("tree", tree);
        examples.put("event", event("com.example.Scope", "happened", "a body", "WARN"));
        examples.put("event of nulls", event(null, null, null, null));
        return examples;
    }

    private static void deepTreeNeedsNoStack() {
        Node node = new Node("s", "deepest", 1, 2);
        for (int i = 1; i < 100_000; i++) {
            Node parent = new Node("s", "level", 1, 2);
            parent.children.add(node);
            node = parent;
        }
        int[] counts = new int[2];
        new Encoder((bytes, from, length, repeated, spans) -> counts[spans == 0 ? 0 : 1] = spans).write(node);
        require(counts[1] == 100_000, "found " + counts[1] + " spans");
    }

    private static void largeRecordComesInPieces() {
        Node node = new Node("s", "large", 1, 2);
        String text = repeat('x', 200_000) + "\u00fc";
        node.attributes.put("text", text);
        int[] pieces = new int[1];
        int[] total = new int[1];
        new Encoder((bytes, from, length, repeated, spans) -> {
            require(from + length <= bytes.length && spans == (pieces[0] == 3 ? 1 : 0), "piece " + pieces[0] + ": " + spans);
            pieces[0]++;
            total[0] += length;
        }).write(node);
        require(pieces[0] == 4 && total[0] > 200_002, pieces[0] + " pieces, " + total[0] + " bytes");
    }

    private static void textThatComesAgainIsTheSame() {
        // The first two have the same hash code.
        String[] texts = {"Aa", "BB", "Aa", "Aa", "", "\u00fc", "\u00fc", null, repeat('x', 126), repeat('y', 127)};
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> all.write(bytes, from, length));
        for (String text : texts) {
            Node node = new Node(text, text, 1, 2);
            node.attributes.put(String.valueOf(text), text);
            for (int i = 0; i < 2; i++) {
                all.reset();
                encoder.write(node);
                encoder.flush();
                require(Arrays.equals(all.toByteArray(), encoded(node)), "another encoding of " + text);
            }
        }
    }

    private static void repeatedTextsAreReferences() {
        Node root = new Node("s", "root", 1, 2);
        for (int i = 0; i < 300; i++) {
            root.attributes.put("key " + (100 + i), 1L);
        }
        int[] first = sizes(root);
        Node again = new Node("s", "child", 1, 2);
        again.attributes.putAll(root.attributes);
        root.children.add(again);
        int[] both = sizes(root);
        require(first[1] == 0 && both[1] > 100 * 8 && both[1] <= 2 + 251 * 8, "found " + both[1] + " repeated bytes");
        int child = (1 + 2) + (1 + 6) + 16 + 2 + 300 * (1 + 8 + 9) + 1;
        int added = both[0] + both[1] - first[0];
        require(added == child, "found " + added + " bytes, expected " + child);
    }

    private static void recordsAreKeptInOrder() {
        List<String> expected = new ArrayList<>();
        List<String> found = new ArrayList<>();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> {
            all.write(bytes, from, length);
            if (spans > 0) {
                found.add(hex(all.toByteArray()));
                all.reset();
            }
        });
        for (int i = 0; i < 2_000; i++) {
            // Most records are small, and some need more than the memory of an encoder.
            Node node = new Node("s", "record " + i, i, i);
            node.attributes.put("text", repeat('x', i % 100 == 99 ? 50_000 + 50 * i : i % 50));
            expected.add(hex(encoded(node)));
            encoder.write(node);
            if (i % 700 == 0) {
                require(encoder.flush(), "no record is left at " + i);
            }
        }
        encoder.flush();
        require(found.equals(expected), "found " + found.size() + " records, expected " + expected.size());
        require(!encoder.flush(), "a record is left");
    }

    private static void recordsAfterAFailedOutputAreIntact() {
        List<String> found = new ArrayList<>();
        int[] calls = new int[1];
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> {
            if (++calls[0] == 2) {
                throw new IllegalStateException();
            }
            found.add(hex(Arrays.copyOfRange(bytes, from, from + length)));
        });
        List<String> all = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Node node = new Node("s", "record " + i, i, i);
            all.add(hex(encoded(node)));
            if (i < 3) {
                encoder.write(node);
            }
        }
        try {
            encoder.flush();
            require(false, "the output did not fail");
        } catch (IllegalStateException e) {
            encoder.write(new Node("s", "record 3", 3, 3));
        }
        encoder.flush();
        require(found.equals(Arrays.asList(all.get(0), all.get(3))), "found " + found);
    }

    private static void recordAfterAFailedLastPieceIsIntact() {
        Node large = new Node("s", "large", 1, 2);
        large.attributes.put("text", repeat('x', 100_000));
        Node next = new Node("s", "next", 1, 2);
        ByteArrayOutputStream after = new ByteArrayOutputStream();
        boolean[] hasFailed = new boolean[1];
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> {
            if (hasFailed[0]) {
                after.write(bytes, from, length);
            } else if (spans > 0) {
                hasFailed[0] = true;
                throw new IllegalStateException();
            }
        });
        try {
            encoder.write(large);
            require(false, "the output did not fail");
        } catch (IllegalStateException e) {
            encoder.write(next);
        }
        encoder.flush();
        require(Arrays.equals(after.toByteArray(), encoded(next)), "another record after a failed one");
    }

    /** Returns the bytes of a record and those that its references stand for. */
    private static int[] sizes(Span span) {
        int[] sizes = new int[2];
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> {
            sizes[0] += length;
            sizes[1] += repeated;
        });
        encoder.write(span);
        encoder.flush();
        return sizes;
    }

    private static void failedRecordIsReported() {
        Node node = new Node("s", "root", 1, 2);
        node.children.add(new Node("s", "child", 1, 2));
        node.children.add(null);
        List<Integer> calls = new ArrayList<>();
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> calls.add(spans));
        try {
            encoder.write(node);
            require(false, "the record did not fail");
        } catch (NullPointerException e) {
            encoder.write(new Node("s", "next", 1, 2));
        }
        encoder.flush();
        require(calls.equals(Arrays.asList(-3, 1)), "found " + calls);
    }

    private static void librariesHaveNames() {
        require("libflinktraces-linux64.so".equals(Library.name("Linux", "amd64", false)), "linux64");
        require("libflinktraces-linux-aarch64-musl.so".equals(Library.name("Linux", "aarch64", true)), "musl");
        require("libflinktraces-osx-arm64.jnilib".equals(Library.name("Mac OS X", "aarch64", false)), "osx");
        require(Library.name("Linux", "riscv64", false) == null, "riscv64");
        require(Library.name("Windows 11", "amd64", false) == null, "windows");
    }

    private static Event event(String scope, String name, String body, String severity) {
        Happening event = new Happening(scope, name, 1_795_230_918_389L, body, severity);
        event.attributes.put("flag", true);
        return event;
    }

    private static byte[] encoded(Object record) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        Encoder encoder = new Encoder((bytes, from, length, repeated, spans) -> all.write(bytes, from, length));
        if (record instanceof Span) {
            encoder.write((Span) record);
        } else {
            encoder.write((Event) record);
        }
        encoder.flush();
        return all.toByteArray();
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }

    private static String repeat(char c, int count) {
        char[] all = new char[count];
        Arrays.fill(all, c);
        return new String(all);
    }

    private static void require(boolean holds, String message) {
        if (!holds) {
            throw new AssertionError(message);
        }
    }
}
