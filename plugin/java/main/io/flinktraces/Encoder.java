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
 * <p>Records are kept until {@link #flush}, because a native call costs more than a small record. A record that is
 * larger than the memory of an encoder is passed on in pieces, right away. Encoding a span without children creates no
 * garbage. An encoder must be used by one thread at a time.
 */
final class Encoder {
    /** The receiver of records, or of the pieces of a large one. */
    interface Output {
        /**
         * Takes {@code length} bytes from the index {@code from} on. The number of spans is 0 in the middle of a record, and negative if the record failed.
         *
         * @param repeated the bytes that the references in them stand for
         */
        void write(byte[] bytes, int from, int length, int repeated, int spans);
    }

    private static final int VERSION = 2;
    private static final int KIND_SPAN = 1;
    private static final int KIND_EVENT = 2;
    /** The memory for records. The native side takes no larger piece. */
    private static final int PIECE = 64 * 1024;
    /** The longest text whose length takes one byte. */
    private static final int SHORT_TEXT = 126;
    /** What stands before a text that may come again. From {@code FIRST} on, it is a reference instead. */
    private static final int NULL = 0;
    private static final int ONCE = 1;
    private static final int NEXT = 2;
    private static final int FIRST = 3;
    private static final int REFERENCES_END = 256;
    /** The number of places for known texts, a power of two. They take at most about 400 KB. */
    private static final int KNOWN = 1024;
    /** The largest number of records that are kept. */
    private static final int RECORDS = 512;
    /** True since Flink 2.2. */
    private static final boolean HAS_CHILDREN = hasChildren();

    private final Output output;
    private final BiConsumer<String, Object> attribute = this::attribute;
    private final byte[] bytes = new byte[PIECE];
    /** The same bytes, for numbers. */
    private final ByteBuffer numbers = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    private int length;

    /** The complete records: the end of each, what its references stand for, and its spans. */
    private final int[] ends = new int[RECORDS];

    private final int[] repeatedBytes = new int[RECORDS];
    private final int[] spanCounts = new int[RECORDS];
    private int records;

    /** The start of the record that is being encoded, and the same of it. */
    private int start;

    private int repeated;
    private int spans;
    /** True if pieces of it were passed on. */
    private boolean isOpen;

    /** Texts that come again, such as keys, each at the place that follows from its hash code. */
    private final Known[] known = new Known[KNOWN];
    /** The number of the record. */
    private long record;
    /** The next reference of the record. */
    private int reference;

    /** The children that follow, one iterator for each ancestor of the last span. */
    @SuppressWarnings("unchecked")
    private Iterator<Span>[] levels = (Iterator<Span>[]) new Iterator<?>[8];

    private int depth;

    /** A text that may come again. */
    private static final class Known {
        String text;
        final byte[] encoded = new byte[1 + SHORT_TEXT];
        /** The last record that has the text, and its reference there. */
        long record;
        int reference;
    }

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

    /** Encodes a span with its descendants, or reports that it failed and throws. */
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
        end();
    }

    /** Encodes an event, or reports that it failed and throws. */
    void write(Event event) {
        begin(KIND_EVENT);
        spans = 1;
        try {
            known(event.getClassScope());
            known(event.getName());
            number(event.getObservedTsMillis());
            text(event.getBody());
            text(event.getSeverity());
            attributes(event.getAttributes());
        } catch (Throwable e) {
            fail();
            throw e;
        }
        end();
    }

    /** Passes on all records. Returns false if there was none. */
    boolean flush() {
        int count = records;
        records = 0;
        try {
            int from = 0;
            for (int i = 0; i < count; i++) {
                output.write(bytes, from, ends[i] - from, repeatedBytes[i], spanCounts[i]);
                from = ends[i];
            }
        } finally {
            // No record is passed on again, even if the output fails.
            System.arraycopy(bytes, start, bytes, 0, length - start);
            length -= start;
            start = 0;
        }
        return count > 0;
    }

    private void begin(int kind) {
        if (records == RECORDS) {
            flush();
        }
        repeated = 0;
        spans = 0;
        record++;
        reference = FIRST;
        reserve(2);
        bytes[length++] = VERSION;
        bytes[length++] = (byte) kind;
    }

    private void end() {
        if (isOpen) {
            int last = length;
            isOpen = false;
            length = 0;
            output.write(bytes, 0, last, repeated, spans);
            return;
        }
        ends[records] = length;
        repeatedBytes[records] = repeated;
        spanCounts[records] = spans;
        records++;
        start = length;
    }

    private void fail() {
        Arrays.fill(levels, 0, depth, null);
        depth = 0;
        length = start;
        isOpen = false;
        output.write(bytes, 0, 0, 0, -Math.max(spans, 1));
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
            once(value.toString());
        }
    }

    private void text(String text) {
        if (text == null) {
            varint(0);
            return;
        }
        int count = 1 + text.length();
        if (count <= 1 + SHORT_TEXT) {
            reserve(count);
            if (shortAscii(text, length)) {
                length += count;
                return;
            }
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

    /** Writes a text that is likely to come again as the same object, which is a reference within a record. */
    private void known(String text) {
        if (text == null) {
            tag(NULL);
            return;
        }
        int count = 1 + text.length();
        if (count > 1 + SHORT_TEXT) {
            once(text);
            return;
        }
        int hash = text.hashCode();
        int place = (hash ^ hash >>> 16) & (KNOWN - 1);
        Known same = known[place];
        if (same == null) {
            same = new Known();
            known[place] = same;
        }
        reserve(1 + count);
        if (same.text == text) {
            if (same.record == record) {
                bytes[length++] = (byte) same.reference;
                repeated += count;
                return;
            }
            System.arraycopy(same.encoded, 0, bytes, length + 1, count);
        } else if (same.record != record && shortAscii(text, 1 + length)) {
            System.arraycopy(bytes, 1 + length, same.encoded, 0, count);
            same.text = text;
        } else {
            // It is not ASCII, or another text of this record has the place.
            once(text);
            return;
        }
        if (reference < REFERENCES_END) {
            bytes[length] = NEXT;
            same.record = record;
            same.reference = reference++;
        } else {
            bytes[length] = ONCE;
        }
        length += 1 + count;
    }

    private void once(String text) {
        tag(ONCE);
        text(text);
    }

    /** Writes a short text at an index, from which there is room. Returns false if it is not ASCII. */
    private boolean shortAscii(String text, int index) {
        int count = text.length();
        for (int i = 0; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                return false;
            }
            bytes[index + 1 + i] = (byte) c;
        }
        bytes[index] = (byte) (count + 1);
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
        if (bytes.length - length >= count) {
            return;
        }
        flush();
        if (bytes.length - length < count) {
            output.write(bytes, 0, length, repeated, 0);
            isOpen = true;
            length = 0;
            repeated = 0;
        }
    }
}
