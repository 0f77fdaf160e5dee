import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import org.apache.flink.runtime.checkpoint.JobDriver;
import org.apache.flink.runtime.metrics.ConfigurationDriver;

/**
 * Answers, by Flink's own classes, what {@code cargo parity} asks on standard input.
 *
 * <p>A question is lines, the last of which is {@code end}; the word that it begins with says what it is about. So is the answer.
 */
public final class Parity {
    public static void main(String[] arguments) throws Exception {
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        JobDriver jobs = new JobDriver();
        ConfigurationDriver configurations = new ConfigurationDriver();
        List<String> question;
        while ((question = read(questions)) != null) {
            StringBuilder answer = new StringBuilder();
            String kind = question.get(0).split(" ")[0];
            try {
                switch (kind) {
                    case "configuration" -> configurations.answer(question, answer);
                    case "job" -> jobs.answer(question, answer);
                    default -> throw new IllegalArgumentException("unknown question: " + kind);
                }
            } catch (RuntimeException refusal) {
                answer.setLength(0);
                answer.append("refused: ").append(refusal).append('\n');
                refusal.printStackTrace();
            }
            answers.append(answer).append("end\n").flush();
        }
    }

    private static List<String> read(BufferedReader questions) throws IOException {
        List<String> lines = new ArrayList<>();
        String line;
        while ((line = questions.readLine()) != null) {
            if (line.equals("end")) {
                return lines;
            }
            lines.add(line);
        }
        return null;
    }
}
