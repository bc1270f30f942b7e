package example;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;

import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.StreamingResponseBody;

@RestController
public class ReportController {

    @GetMapping(path = "/healthz", produces = MediaType.TEXT_PLAIN_VALUE)
    public String healthz() {
        return "ok";
    }

    @GetMapping("/hello")
    public Map<String, String> hello() {
        return Map.of("hello", "world");
    }

    @PostMapping("/reports")
    @ResponseStatus(HttpStatus.CREATED)
    public Map<String, Long> createReport(InputStream body) throws IOException {
        return Map.of("created", body.transferTo(OutputStream.nullOutputStream()));
    }

    @GetMapping("/stream")
    public ResponseEntity<StreamingResponseBody> stream() {
        return ResponseEntity.ok().contentType(MediaType.TEXT_PLAIN).body(output -> {
            for (int number = 0; number < 5; number++) {
                if (number > 0) {
                    pause();
                }
                output.write("line %d\n".formatted(number).getBytes(StandardCharsets.UTF_8));
                output.flush();
            }
        });
    }

    @PostMapping("/upload")
    public Map<String, Object> upload(InputStream body) throws IOException, NoSuchAlgorithmException {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        long received = new DigestInputStream(body, digest).transferTo(OutputStream.nullOutputStream());
        return Map.of("received", received, "sha256", HexFormat.of().formatHex(digest.digest()));
    }

    private static void pause() {
        try {
            Thread.sleep(200);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
