package io.flinktraces;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.apache.flink.events.Event;
import org.apache.flink.traces.Span;

/**
 * Encodes spans and events for the native side, which documents the format in {@code wire.rs}.
 *
 * <p>A record is passed on in pieces, so the memory of an encoder does not depend on the record. Encoding a span without
 * children creates no garbage. An encoder must be used by one thread at a time.
 */
final class Encoder {
    /** The receiver of the pieces of a record. */
    interface Output {
        /** Takes bytes. The number of spans is 0 in the middle of a record, and negative if the record failed. */
        void write(byte[] bytes, int length, int spans);
    }

    private static final int VERSION = 1;
    private static final int KIND_SPAN = 1;
    private static final int KIND_EVENT = 2;
    private static final int PIECE = 64 * 1024;
    /** The longest text whose length takes one byte. */
    private static final int SHORT_TEXT = 126;
    /** The number of places for known texts, a power of two. They take at most about 400 KB. */
    private static final int KNOWN = 1024;
    /** True since Flink 2.2. */
    private static final boolean HAS_CHILDREN = hasChildren();

    private final Output output;
    private final BiConsumer<String, Object> attribute = this::attribute;
    private final byte[] bytes = new byte[PIECE];
    /** The same bytes, for numbers. */
    private final ByteBuffer numbers = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    private int length;
    private int spans;

    /** Texts that come again, such as keys, each with its encoded form at the same place. */
    private final String[] known = new String[KNOWN];
    private final byte[][] encoded = new byte[KNOWN][];

    /** The children that follow, one iterator for each ancestor of the last span. */
    @SuppressWarnings("unchecked")
    private Iterator<Span>[] levels = (Iterator<Span>[]) new Iterator<?>[8];

    private int depth;

    Encoder(Output output) {
        this.output = output;
    }

    private static boolean hasChildren() {
        try {
            Span.class.getMethod("getChildren");
            return true;
        } catch (NoSuchMethodException e) {
            return false;
        }
    }

    /** Passes on a span with its descendants, or reports that it failed and throws. */
    void write(Span root) {
        begin(KIND_SPAN);
        try {
            span(root);
            while (depth > 0) {
                Iterator<Span> siblings = levels[depth - 1];
                if (siblings.hasNext()) {
                    span(siblings.next());
                } else {
                    levels[--depth] = null;
                }
            }
        } catch (Throwable e) {
            fail();
            throw e;
        }
        output.write(bytes, length, spans);
    }

    /** Passes on an event, or reports that it failed and throws. */
    void write(Event event) {
        begin(KIND_EVENT);
        spans = 1;
        try {
            text(event.getClassScope());
            text(event.getName());
            number(event.getObservedTsMillis());
            text(event.getBody());
            text(event.getSeverity());
            attributes(event.getAttributes());
        } catch (Throwable e) {
            fail();
            throw e;
        }
        output.write(bytes, length, spans);
    }

    private void begin(int kind) {
        length = 0;
        spans = 0;
        bytes[length++] = VERSION;
        bytes[length++] = (byte) kind;
    }

    private void fail() {
        Arrays.fill(levels, 0, depth, null);
        depth = 0;
        output.write(bytes, 0, -Math.max(spans, 1));
    }

    private void span(Span span) {
        spans++;
        known(span.getScope());
        known(span.getName());
        number(span.getStartTsMillis());
        number(span.getEndTsMillis());
        attributes(span.getAttributes());
        if (!HAS_CHILDREN || isLeaf(span)) {
            varint(0);
            return;
        }
        List<Span> children = span.getChildren();
        varint(children.size());
        if (depth == levels.length) {
            levels = Arrays.copyOf(levels, 2 * depth);
        }
        levels[depth++] = children.iterator();
    }

    /** Returns true if a span has no children. Flink's span wraps the list, which is garbage unless it stays here. */
    private static boolean isLeaf(Span span) {
        List<Span> children = span.getChildren();
        return children == null || children.isEmpty();
    }

    private void attributes(Map<String, Object> attributes) {
        varint(attributes.size());
        // An iterator would be garbage.
        attributes.forEach(attribute);
    }

    private void attribute(String key, Object value) {
        known(key);
        if (value instanceof String) {
            tag(1);
            known((String) value);
        } else if (value instanceof Long || value instanceof Integer || value instanceof Short || value instanceof Byte) {
            tag(2);
            number(((Number) value).longValue());
        } else if (value instanceof Double || value instanceof Float) {
            tag(3);
            number(Double.doubleToRawLongBits(((Number) value).doubleValue()));
        } else if (value instanceof Boolean) {
            tag((Boolean) value ? 4 : 5);
        } else if (value == null) {
            tag(0);
        } else {
            tag(1);
            text(value.toString());
        }
    }

    private void text(String text) {
        if (text == null) {
            varint(0);
            return;
        }
        int count = text.length();
        if (count <= SHORT_TEXT && shortAscii(text, count)) {
            return;
        }
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        varint(utf8.length + 1);
        for (int from = 0; from < utf8.length; ) {
            reserve(1);
            int part = Math.min(utf8.length - from, bytes.length - length);
            System.arraycopy(utf8, from, bytes, length, part);
            length += part;
            from += part;
        }
    }

    /** Writes a text that is likely to come again as the same object, which is a copy of bytes then. */
    private void known(String text) {
        if (text == null || text.length() > SHORT_TEXT) {
            text(text);
            return;
        }
        int count = 1 + text.length();
        int hash = text.hashCode();
        int place = (hash ^ hash >>> 16) & (KNOWN - 1);
        reserve(count);
        if (known[place] == text) {
            System.arraycopy(encoded[place], 0, bytes, length, count);
            length += count;
            return;
        }
        int start = length;
        if (!shortAscii(text, text.length())) {
            text(text);
            return;
        }
        if (encoded[place] == null) {
            encoded[place] = new byte[SHORT_TEXT + 1];
        }
        System.arraycopy(bytes, start, encoded[place], 0, count);
        known[place] = text;
    }

    /** Writes a short text. Returns false, without an effect, if it is not ASCII. */
    private boolean shortAscii(String text, int count) {
        reserve(1 + count);
        int start = length + 1;
        for (int i = 0; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                return false;
            }
            bytes[start + i] = (byte) c;
        }
        bytes[length] = (byte) (count + 1);
        length = start + count;
        return true;
    }

    private void tag(int tag) {
        reserve(1);
        bytes[length++] = (byte) tag;
    }

    private void varint(int number) {
        reserve(5);
        while ((number & ~0x7f) != 0) {
            bytes[length++] = (byte) (number | 0x80);
            number >>>= 7;
        }
        bytes[length++] = (byte) number;
    }

    private void number(long number) {
        reserve(8);
        numbers.putLong(length, number);
        length += 8;
    }

    /** Makes room for a few bytes, by passing on those that are there. */
    private void reserve(int count) {
        if (bytes.length - length < count) {
            output.write(bytes, length, 0);
            length = 0;
        }
    }
}
