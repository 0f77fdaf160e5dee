package witness;

import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.Map;

/** A file of this process, to which each record is written before Flink goes on. */
final class WitnessFile {
    private final OutputStream file;

    /** Opens the file in the directory. Its name is the signal and the id of the process. */
    WitnessFile(String directory, String signal) {
        try {
            String process = ManagementFactory.getRuntimeMXBean().getName().replaceAll("@.*", "");
            Path folder = Files.createDirectories(Paths.get(directory));
            Path path = folder.resolve(signal + "-" + process + ".jsonl");
            file = Files.newOutputStream(path, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Writes a line without a buffer, so that a kill loses nothing. */
    synchronized void write(StringBuilder line) {
        try {
            file.write(line.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    static StringBuilder text(StringBuilder to, String text) {
        if (text == null) {
            return to.append("null");
        }
        to.append('"');
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                to.append('\\').append(c);
            } else if (c < ' ') {
                to.append(String.format("\\u%04x", (int) c));
            } else {
                to.append(c);
            }
        }
        return to.append('"');
    }

    static void attributes(StringBuilder to, Map<String, Object> attributes) {
        String separator = "{";
        to.append("\"attributes\":");
        for (Map.Entry<String, Object> entry : attributes.entrySet()) {
            text(to.append(separator), entry.getKey()).append(':');
            Object value = entry.getValue();
            if (value instanceof Number || value instanceof Boolean || value == null) {
                to.append(value);
            } else {
                text(to, value.toString());
            }
            separator = ",";
        }
        to.append(attributes.isEmpty() ? "{}" : "}");
    }
}
